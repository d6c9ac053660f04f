// Package org is one organisation's folder: its certificate authorities and people, its nodes with
// their configuration and ledgers, and how they are started, joined to the channel, watched and
// stopped. On a host of its own an organisation has one such folder; a development network
// (package network) is a loop over several on one machine.
//
//	org.json    what the organisation was told to be (Spec); only a folder with this file is ours
//	ca/         the two authorities; without their keys where the organisation's own PKI signs
//	csr/        certificate requests, and where their answers go
//	msp/        what others need to know of the organisation
//	people/     one folder per person: cert.pem, key.pem
//	peer/ orderer/ chaincode/ gateway/   one node each: keys, configuration, data
//	builder/    tells the peer where its chaincode process is
//	channel/    genesis.block, package.tgz
//	logs/ run/  one log and one pid file per node
//
// Nodes run by themselves, or under a supervisor in the foreground.
//
// Nothing of another organisation is ever in it but what is public: descriptors, the channel's
// first block, the chaincode package.
package org
