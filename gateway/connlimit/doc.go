// Package connlimit bounds the connections of a listener, in all and of one
// address, and serves HTTP on it. A registry's notifications need a handful.
package connlimit
