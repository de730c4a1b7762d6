// Firmware for QEMU's machine `virt`: work, the virtual counter, then 'K' on the PL011 UART and
// PSCI SYSTEM_OFF (Arm DEN 0022).
    .text
start:
    movz x0, #0x0900, lsl #16
    movz w1, #'1'
    strb w1, [x0]
    // work that takes a processor some milliseconds, and an interpreter of instructions minutes
    movz w2, #0x0131, lsl #16
1:  subs w2, w2, #1
    b.ne 1b
    movz w1, #'2'
    strb w1, [x0]
    // a millisecond on the virtual counter
    mrs x3, cntfrq_el0
    movz x4, #1000
    udiv x3, x3, x4
    isb
    mrs x4, cntvct_el0
2:  isb
    mrs x5, cntvct_el0
    sub x5, x5, x4
    cmp x5, x3
    b.lo 2b
    movz w1, #'K'
    strb w1, [x0]
    movz w0, #0x0008
    movk w0, #0x8400, lsl #16
    hvc #0
3:  wfi
    b 3b
