// Package signer signs for the command: with a key that stays where it is, in a file
// or behind a program that holds it (Open), or with one that is made for this signature
// and certified for whoever an identity token names (Services.Sign).
//
// Nothing that it brings home is believed because it was fetched: the contract verifies
// all of it.
package signer
