/* The drivers of this build. */
#include "driver/qemu/qemu.h"
#include "driver/sim/sim.h"
#include "driver/ssh/ssh_driver.h"
#include "driver/tart/tart_driver.h"
#include "driver/vz/vz.h"
#include "vm/driver.h"

void vt_drivers_init(void)
{
    vt_driver_register(&vt_qemu_driver);
    vt_driver_register(&vt_sim_driver);
    vt_driver_register(&vt_ssh_driver);
    vt_driver_register(&vt_tart_driver);
    vt_driver_register(&vt_vz_driver);
}
