// Package proof checks what Waybill's ledger says with a file and a pinned hash, and nothing
// else: no network, no clock, no gateway, nobody's word.
//
// It reads Fabric's messages by itself and takes each in one encoding only, so that a file
// that says the same in other bytes is refused as well. What is checked, and what is not
// proven by it, is part of every answer (Report).
package proof
