# The boot sector of probe.py: real mode, long mode, three timer interrupts, each said on debug port 0xe9.
# as probe.S -o probe.o && ld -Ttext 0x7c00 --oformat binary probe.o -o probe.bin
.code16
.globl _start
_start:
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    movw $real, %si
    call say16
    # page tables at 0x1000: one 2 MiB page
    movw $0x1000, %di
    xorl %eax, %eax
    movw $0x1000, %cx
    rep stosl
    movl $0x2003, 0x1000
    movl $0x3003, 0x2000
    movl $0x0083, 0x3000
    movl $0x1000, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    lgdt gdtr
    movl %cr0, %eax
    orl $0x80000001, %eax
    movl %eax, %cr0
    ljmp $8, $long
say16:
    lodsb
    testb %al, %al
    jz 1f
    outb %al, $0xe9
    jmp say16
1:  ret
.code64
long:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $0x7c00, %esp
    movl $longword, %esi
    call say
    # interrupt table at 0x5000, vector 0x20 -> tick
    movl $0x5200, %edi
    movl $tick, %eax
    movw %ax, (%rdi)
    movw $8, 2(%rdi)
    movw $0x8e00, 4(%rdi)
    shrl $16, %eax
    movw %ax, 6(%rdi)
    lidt idtr
    # interrupt controller: vectors from 0x20, only the timer
    movb $0x11, %al
    outb %al, $0x20
    movb $0x20, %al
    outb %al, $0x21
    movb $4, %al
    outb %al, $0x21
    movb $1, %al
    outb %al, $0x21
    movb $0xfe, %al
    outb %al, $0x21
    # timer: 100 Hz
    movb $0x34, %al
    outb %al, $0x43
    movb $0x9c, %al
    outb %al, $0x40
    movb $0x2e, %al
    outb %al, $0x40
    xorl %ebx, %ebx
    sti
2:  hlt
    cmpl $3, %ebx
    jb 2b
    movl $ticks, %esi
    call say
    outb %al, $0xf4
3:  hlt
    jmp 3b
tick:
    incl %ebx
    movb $0x20, %al
    outb %al, $0x20
    iretq
say:
    lodsb
    testb %al, %al
    jz 4f
    outb %al, $0xe9
    jmp say
4:  ret
real: .asciz "real mode\n"
longword: .asciz "long mode\n"
ticks: .asciz "ticks\n"
.align 8
gdt: .quad 0, 0x00209a0000000000, 0x0000920000000000
gdtr: .word 23
    .long gdt
idtr: .word 0x2ff
    .quad 0x5000
.org 510
.word 0xaa55
