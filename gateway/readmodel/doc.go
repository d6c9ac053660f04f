// Package readmodel holds what the index is asked and what it answers, as the
// API passes both on. The records of the ledger itself are those of package state.
package readmodel
