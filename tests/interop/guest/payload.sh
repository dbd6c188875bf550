# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# The files a guest writes. Host and guest source this same text: the host computes the
# checksums once, the guest produces the same bytes again and never decides what is right.
#
# A file's bytes are a window into a repeated random seed whose length is odd, so no two sectors
# of a file are equal: a sector that is lost, doubled or swapped changes the checksum.

# payload_long SEED FILE: the seed as often as the longest file needs it
payload_long()
{
	for payload_reps in 1 2 3 4 5 6 7 8 9 10; do
		cat "$1"
	done > "$2"
}

# payload_bytes LONG INDEX SIZE [OPERAND...]: the bytes of file number INDEX, to where the operands tell dd
payload_bytes()
{
	payload_long=$1 payload_from=$(($2 * 104729 % 1000003)) payload_size=$3
	shift 3
	dd if="$payload_long" bs=64k iflag=skip_bytes,count_bytes skip=$payload_from count="$payload_size" "$@"
}

# payload_file SEED MIB FILE: so many MiB, quickly made: the seed again and again, from its beginning
payload_file()
{
	payload_reps=$2
	while [ "$payload_reps" -gt 0 ]; do
		cat "$1"
		payload_reps=$((payload_reps - 1))
	done > "$3" && truncate -s "$2M" "$3"
}

# payload_seed: 1,048,829 bytes that no block size divides, the same on every machine
payload_seed()
{
	perl -e '
		my $x = 2463534242;
		binmode STDOUT;
		for (1 .. 262208) {
			$x ^= ($x << 13) & 0xffffffff;
			$x ^= $x >> 17;
			$x ^= ($x << 5) & 0xffffffff;
			print substr(pack("V", $x), 0, $_ == 262208 ? 1 : 4);
		}'
}

# payload_list: a line "NAME INDEX SIZE" for each file. The guest deletes "gone-*" and keeps the
# rest. Sizes lie around the borders of sectors, pages and extents; about 37 MiB in all.
payload_list()
{
	payload_i=0
	for payload_size in 1 511 512 513 4095 4096 4097 12288 65535 65536 65537 131072 262145 \
		524288 1048575 1048576 1048577 2097152 3145733 4194304; do
		payload_i=$((payload_i + 1))
		echo "keep-$payload_i $payload_i $payload_size"
	done
	for payload_size in 4096 65536 100001 1048576 3145728 4194305 6291456 8388608; do
		payload_i=$((payload_i + 1))
		echo "gone-$payload_i $payload_i $payload_size"
	done
}
