// Package oracle holds the contract's verifier of keyless evidence to the library that
// others verify with: on real bundles, on made ones, and on each of them with something
// changed, both give one verdict, or ours refuses for a reason that is listed here.
// It is a module of its own, so that nothing of the library is in what is built here.
package oracle
