// Package api is the gateway's reading side: gRPC and REST on one TLS port,
// answered from the block index, and the client the command line uses.
//
// Callers are members of the channel, known by their client certificate; what
// each may call stands in one table (access.go), and a method that is not in
// it is refused. Errors keep their provenance code over both protocols
// (errors.go). Writes never come through here: they are transactions, signed
// by the person who makes them.
package api
