// Package guest is the lab's side of a guest: its process 1, which puts the machine
// together and reaps; the agent, which runs commands for the lab over a serial port
// of virtio; and the fence agent fence_vmlab, which asks the lab's power controller
// beside the guest's networks.
//
// What it decides: nothing. What it must never do: run what was meant for an earlier
// boot, run on another machine than a guest of the lab, or answer for the power
// controller.
//
// Who calls it: cmd, when the program is a guest's process 1, its agent or
// fence_vmlab.
package guest
