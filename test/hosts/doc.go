// Package hosts gives tests machines of their own: each host is a set of Linux namespaces (network, mounts,
// processes, name) with an address, a file tree and a user that no other host has, joined by a bridge. What a
// real consortium has between its machines is between these: they reach each other by name and port only, a
// cable can be pulled, a line can be long, and a file crosses only when somebody carries it, which is refused
// for whatever holds a private key or is nothing that organisations hand each other.
//
// The tests themselves stand at the bridge, as a machine beside the hosts with an address of its own. They
// may read every host's files, which no host can.
//
// Namespaces and interfaces need root (CAP_SYS_ADMIN and CAP_NET_ADMIN) and iproute2 and util-linux. Where
// they are not to be had, every test of hosts is skipped and says NOT RUN and why.
package hosts
