// Package wait holds what loops that wait have in common: a pause that ends with
// its context, a back-off, and why something waits, as people are shown it.
package wait
