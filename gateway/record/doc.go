// Package record carries queued items onto the ledger: those of a lane become one
// segment, through any crash.
package record
