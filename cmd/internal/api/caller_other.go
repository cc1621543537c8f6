//go:build !linux

package api

import (
	"errors"
	"net"
)

// mayOrder is true for whoever could connect: without SO_PEERCRED the socket is
// root's alone, which its mode ensures.
func mayOrder(net.Conn) bool { return true }

// Share refuses: this system does not tell who is at the other end.
func Share(_, group string) error {
	_, err := GroupID(group)
	return err
}

// GroupID refuses every group.
func GroupID(group string) (int, error) {
	if group == "" {
		return 0, nil
	}
	return 0, errors.New("cannot give the socket to a group: who asks cannot be told on this system — take socket_group out of the file, or ask as root")
}
