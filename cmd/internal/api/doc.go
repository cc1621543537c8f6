// Package api is the talk between the resident service and the other verbs: HTTP
// with JSON over one unix socket, which is root's.
//
// What it decides: the shape of what is said ([Status], [PlanReply], …). The JSON
// of these types is the contract of --json: fields are added, never renamed.
//
// What it must never do: reach into the loop's state except through [Service],
// or answer from anything but what the last pass saw.
//
// Who calls it: `understudy run` serves it, every other verb and the lab ask it.
package api
