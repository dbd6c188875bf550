dnl SPDX-License-Identifier: BSD-3-Clause
dnl VDK_PROBE_CFLAGS(VARIABLE, FLAGS): sets VARIABLE to those FLAGS that the compiler accepts.
AC_DEFUN([VDK_PROBE_CFLAGS], [
	$1=
	vdk_save_CFLAGS=$CFLAGS
	for vdk_flag in $2; do
		AC_MSG_CHECKING([whether $CC accepts $vdk_flag])
		CFLAGS="$vdk_save_CFLAGS -Werror $vdk_flag"
		AC_COMPILE_IFELSE([AC_LANG_SOURCE([[int vdk_probe;]])],
			[AC_MSG_RESULT([yes])
			AS_VAR_APPEND([$1], [" $vdk_flag"])],
			[AC_MSG_RESULT([no])])
	done
	CFLAGS=$vdk_save_CFLAGS
])
