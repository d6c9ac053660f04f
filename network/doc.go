// Package network turns a Topology into a running Fabric network: files, then processes, then a
// channel, then the chaincode. Developers, tests and benchmarks all take this one road.
//
// Everything lives under one directory. It may be stopped and started again at any time; whatever
// exists is kept, whatever is missing is made, and whatever is stopped is started:
//
//	network.json   the topology and how far creation got; only a directory with this file is ours
//	clients.json   where each organisation's peer, gateway and people are (see LoadClients)
//	genesis.block  the channel's first block: its header hash is the trust root of every proof
//	package.tgz    the chaincode package, the same bytes for every organisation
//	logs/          one log per node
//	run/           one pid file per node
//	orgs/<org>/    one organisation's keys, configuration and ledgers
//
// The keys under orgs/ are made here for every organisation because this is one machine; nothing
// else in the layout assumes that organisations trust each other.
package network
