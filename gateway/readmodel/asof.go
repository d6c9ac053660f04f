package readmodel

import "time"

// When is a moment of the ledger's life: a height or a time; zero is now.
type When struct {
	// Height is a number of blocks: what the blocks below it say counts.
	Height uint64
	Time   time.Time
}

// IsNow tells whether no earlier moment is meant.
func (w When) IsNow() bool { return w.Height == 0 && w.Time.IsZero() }

// AsOf is the moment that an answer is about.
type AsOf struct {
	Height uint64
	// Judged is the time that rules are judged at: the one that was asked for, or that
	// of the ledger's clock at the height.
	Judged time.Time
	// Whole: no block that is still to come belongs to it.
	Whole bool
}
