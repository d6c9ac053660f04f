// Package clock moves the ledger's clock on: one tick a minute, by the gateway
// of whichever member has its turn.
package clock
