/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Boot sector for a disk of ours: no operating system, only the firmware's own virtio driver
 * behind int 13h. It tells on the serial line that it runs, prints the text in sector 2049, reads
 * sectors 4096 to 4111, prints the sum of their 32-bit words, writes them inverted to sector 8192
 * on, and ends QEMU through isa-debug-exit (port 0xf4).
 */
	.code16
	.globl	_start
_start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$0x7c00, %sp
	sti
	movb	%dl, drive

	movw	$started, %si
	call	print

	movl	$2049, packet_sector
	movw	$1, packet_count
	movb	$0x42, %ah
	call	disk
	movw	$0x8000, %si
	call	print

	movl	$4096, packet_sector
	movw	$16, packet_count
	movb	$0x42, %ah
	call	disk
	call	sum_and_invert
	call	print_hex

	movl	$8192, packet_sector
	movw	$16, packet_count
	movw	$0x4300, %ax
	call	disk
	movw	$finished, %si
	call	print
	movb	$0x10, %al		/* QEMU's exit status becomes 0x10 * 2 + 1 */
	jmp	leave

failed:
	movw	$failure, %si
	call	print
	movb	$0x20, %al
leave:
	outb	%al, $0xf4
halt:
	hlt
	jmp	halt

/* disk: extended read (ah 42h) or write (ah 43h) as the packet says */
disk:
	movb	drive, %dl
	movw	$packet, %si
	int	$0x13
	jc	failed
	ret

/* sum_and_invert: edx = sum of the words in the buffer, which is inverted */
sum_and_invert:
	xorl	%edx, %edx
	movw	$0x8000, %di
	movw	$16 * 512 / 4, %cx
1:	addl	(%di), %edx
	notl	(%di)
	addw	$4, %di
	loop	1b
	ret

/* print_hex: edx in hexadecimal, and a new line */
print_hex:
	movw	$8, %cx
1:	roll	$4, %edx
	movb	%dl, %al
	andb	$0x0f, %al
	addb	$'0', %al
	cmpb	$'9', %al
	jbe	2f
	addb	$'a' - '9' - 1, %al
2:	call	putc
	loop	1b
	movb	$'\n', %al
	jmp	putc

/* print: the text at si, which ends with a zero byte */
print:
	lodsb
	testb	%al, %al
	jz	1f
	call	putc
	jmp	print
1:	ret

/* putc: al to the first serial port, once that is ready */
putc:
	pushw	%dx
	pushw	%ax
	movw	$0x3fd, %dx
1:	inb	%dx, %al
	testb	$0x20, %al
	jz	1b
	popw	%ax
	movw	$0x3f8, %dx
	outb	%al, %dx
	popw	%dx
	ret

started:
	.asciz	"VD bootsector runs\nVD sector 2049: "
finished:
	.asciz	"VD done ok\n"
failure:
	.asciz	"VD done FAIL int 13h\n"
drive:
	.byte	0
	.balign	4
packet:
	.byte	16, 0
packet_count:
	.word	0
	.word	0x8000, 0		/* buffer: offset, segment */
packet_sector:
	.long	0, 0

	.org	510
	.word	0xaa55
