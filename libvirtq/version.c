/* SPDX-License-Identifier: BSD-3-Clause */
#include <virtq/version.h>

unsigned virtq_version(void)
{
	return VIRTQ_VERSION;
}
