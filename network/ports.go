package network

import (
	"errors"
	"net"
	"strconv"
)

// FreePortBase returns a base whose ports for the given number of organisations are all free now.
// Between asking and starting somebody else may take one; Up then says which.
func FreePortBase(orgs int, from int) (int, error) {
	for base := from; base+portsPerOrg*orgs < 32000; base += portsPerOrg * orgs {
		free := true
		for p := base; p < base+portsPerOrg*orgs && free; p++ {
			free = portFree(p)
		}
		if free {
			return base, nil
		}
	}
	return 0, errors.New("no block of free ports from " + strconv.Itoa(from) + " to 32000")
}

func portFree(port int) bool {
	l, err := net.Listen("tcp", address(port))
	return err == nil && l.Close() == nil
}
