# 64 KiB firmware: real mode -> protected mode -> long mode with paging; there memory, a timer
# interrupt that ends a HLT, then 'K' on COM1 and the debug-exit port.
    .code16
    .section .text
start:
    cli
    mov $0x3f8, %dx
    mov $'1', %al
    out %al, %dx
    lgdtl %cs:(gdt_ptr - start)
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $8, $(0xf0000 + prot - start)
    .code32
prot:
    mov $0x10, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x3f8, %dx
    mov $'2', %al
    out %al, %dx
    # local APIC on, its LINT0 takes what the PIC says
    movl $0x1ff, 0xfee000f0
    movl $0x700, 0xfee00350
    # page tables at 0x1000: PML4, PDPT, PD with one 2 MiB page
    xor %eax, %eax
    mov $0x1000, %edi
    mov $3072, %ecx
    cld
    rep stosl
    movl $0x2003, 0x1000
    movl $0x3003, 0x2000
    movl $0x83, 0x3000
    mov $0x1000, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    ljmpl $0x18, $(0xf0000 + long - start)
    .code64
long:
    mov $0x7000, %esp
    mov $0x3f8, %dx
    mov $'3', %al
    out %al, %dx
    # IDT at 0x5000: vector 0x20 = tick
    mov $0x5200, %edi
    lea tick(%rip), %rax
    mov %ax, (%rdi)
    movw $0x18, 2(%rdi)
    movw $0x8e00, 4(%rdi)
    shr $16, %rax
    mov %ax, 6(%rdi)
    movq $0, 8(%rdi)
    lidt idt_ptr(%rip)
    # PIC: vectors from 0x20, only IRQ 0; PIT channel 0: one shot, about 1 ms
    mov $0x11, %al ; out %al, $0x20
    mov $0x20, %al ; out %al, $0x21
    mov $0x04, %al ; out %al, $0x21
    mov $0x01, %al ; out %al, $0x21
    mov $0xfe, %al ; out %al, $0x21
    mov $0x34, %al ; out %al, $0x43
    mov $0xa9, %al ; out %al, $0x40
    mov $0x04, %al ; out %al, $0x40
    # work that takes a processor some milliseconds, and an interpreter of instructions minutes
    mov $20000000, %ecx
3:  mov %ecx, 0x6000
    dec %ecx
    jnz 3b
    xor %ebx, %ebx
    sti
1:  hlt
    cmp $3, %ebx
    jb 1b
    cli
    mov $0x3f8, %dx
    mov $'K', %al
    out %al, %dx
    mov $0x501, %dx
    mov $0x31, %al
    out %al, %dx
2:  hlt
    jmp 2b
tick:
    inc %ebx
    mov $0x20, %al
    out %al, $0x20
    iretq
    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00af9b000000ffff
gdt_ptr:
    .word 31
    .long 0xf0000 + gdt - start
idt_ptr:
    .word 0xfff
    .quad 0x5000
