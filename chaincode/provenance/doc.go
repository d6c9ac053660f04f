// Package provenance is the vocabulary of Waybill: digests, references, events,
// a channel's predecessor, and the errors that cross the wire. It speaks the standard library only, so
// that a reviewer of the chaincode needs nothing else to read it.
//
// Every type here is parsed once, through one door, into a value that cannot
// be malformed and prints back exactly as it was read.
package provenance
