// Package collect makes evidence of signed artifacts that are pushed beside an
// image: it reads the artifact, finds the registered key or trusted root that
// verifies its envelope, and puts it before the contract, which verifies it again.
package collect
