// Package findings holds what a sweep of a registry found, as its operators see it.
package findings

import (
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// The kinds of findings. Those of the first five become events; an alarm never
// does: the ledger holds what happened, and of these nobody knows.
const (
	Unrecorded  = "unrecorded"  // a tag the ledger does not know, or what refers to an image and has no tag
	Moved       = "moved"       // a tag that names another image than on the ledger
	Restored    = "restored"    // such an image that was deleted on the ledger, and is there
	TagGone     = "tag-gone"    // a recorded tag that is not there any more
	ImageGone   = "image-gone"  // a recorded image that is not there any more
	OtherBytes  = "other-bytes" // alarm: other bytes are served for a recorded digest
	Unreadable  = "unreadable"  // alarm: what is served is no manifest we could record
	Unreachable = "unreachable" // alarm: no answer, after some tries
	Hidden      = "hidden"      // alarm: a recorded repository is not shown to us
)

// What became of a finding.
const (
	Queued = "queued"  // events are in the queue
	Known  = "known"   // they were there before: waiting, set aside, or recorded
	Alarm  = "alarm"   // somebody has to look
	DryRun = "dry-run" // nothing was done
)

// Finding is one difference between a registry and the ledger.
type Finding struct {
	Kind       string                `json:"kind"`
	Repository provenance.Repository `json:"repository"`
	Tag        provenance.Tag        `json:"tag,omitempty"`
	Digest     provenance.Digest     `json:"digest,omitzero"`   // at the registry; of an image that is not there, the recorded one
	Recorded   provenance.Digest     `json:"recorded,omitzero"` // what the ledger says the tag names
	At         time.Time             `json:"at,omitzero"`       // when it was sure
	Outcome    string                `json:"outcome,omitempty"`
	Detail     string                `json:"detail,omitempty"`
}

// Sweep is one sweep of one registry.
type Sweep struct {
	ID                string
	DryRun            bool
	Started, Finished time.Time
	Error             string
	Repository        provenance.Repository // where it is
	Doing             string                // what it waits for
	Done, Total       int                   // repositories
	Tags, Images      int64
	Requests          int64
	Waiting           int              // differences whose grace is not over
	Counts            map[string]int64 // of findings, by kind
	Findings          []Finding        // the first of them
	Notes             []string         // what was not looked at, and why
}

// Started is a sweep that was started, or joined.
type Started struct {
	Host   provenance.Host
	ID     string
	Joined bool
}

// Registry is what is known of one registry's sweeps.
type Registry struct {
	Host    provenance.Host
	Running *Sweep // nil: none
	Last    *Sweep // the last finished, dry or not
	Alerts  []Finding
	Next    time.Time // by the schedule; zero without one
}
