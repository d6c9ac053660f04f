// Package proofs makes the files that are checked without a gateway: a receipt is a
// verdict that peers of several organisations signed, a proof is a transaction with
// its block and what several organisations' peers sign of its status.
//
// Everything is asked for with the gateway's own identity, since a file shows who
// asked. Nothing in a file is this gateway's word, and nothing is handed out that
// proof.Verify does not accept: a peer that lies is found here, and not by the auditor.
package proofs
