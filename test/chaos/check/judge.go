package check

import (
	"fmt"
	"maps"
	"slices"
)

// judge is a judgement in the making.
type judge struct {
	run    Run
	report Report
	// How often each thing happened, by what is known of it: distinct claims.
	promised, open, unheard map[string]int
	refused                 map[string]bool
	dead                    map[string]int
	said                    map[string]bool // all keys of claims
}

func newJudge(r Run) *judge {
	return &judge{run: r, refused: map[string]bool{}, dead: map[string]int{}, said: map[string]bool{}}
}

func (j *judge) find(k Kind, format string, args ...any) {
	j.report.Findings = append(j.report.Findings, Finding{k, fmt.Sprintf(format, args...)})
}

// claims counts what happened. A claim that was promised is not open, however
// many of its attempts were cut off; one that was heard is not unheard.
func (j *judge) claims() {
	settled := map[Claim]bool{}
	distinct := func(list []Claim) map[string]int {
		count := map[string]int{}
		for _, c := range list {
			j.said[c.Key] = true
			if !settled[c] {
				settled[c] = true
				count[c.Key]++
			}
		}
		return count
	}
	h := j.run.History
	j.promised = distinct(h.Promised) // first: whoever is told 2xx once is promised
	j.open = distinct(h.Open)
	j.unheard = distinct(h.Unheard)
	for _, c := range h.Refused {
		if !settled[c] && !j.said[c.Key] {
			j.refused[c.Key] = true
		}
	}
	for _, o := range j.run.Outboxes {
		for _, key := range o.Dead {
			if j.dead[key]++; !j.said[key] {
				j.find(Stranger, "queue of %s: %s: set aside, and nobody sent it", o.Name, key)
			}
		}
	}
	j.report.Promised, j.report.Open, j.report.Unheard, j.report.Refused = total(j.promised), total(j.open), total(j.unheard), len(j.refused)
	j.report.SetAside = total(j.dead)
}

// peer checks one chain: that it is one, and that it keeps the promises.
func (j *judge) peer(p Peer) {
	for i, b := range p.Blocks {
		if b.Number != uint64(i) {
			j.find(Fork, "peer %s: block %d stands in place %d", p.Name, b.Number, i)
		}
		if i > 0 && b.Previous != p.Blocks[i-1].Hash {
			j.find(Fork, "peer %s: block %d follows %s, and block %d is %s", p.Name, b.Number, b.Previous, i-1, p.Blocks[i-1].Hash)
		}
	}
	recorded := recordings(p.Blocks)
	ids := map[string]int{}
	for _, b := range p.Blocks {
		for _, tx := range b.Txs {
			if !tx.Valid {
				continue
			}
			for _, e := range tx.Events {
				if ids[e.ID]++; ids[e.ID] == 2 {
					j.find(Twice, "peer %s: event %s (%s) stands twice, the second time in transaction %s of block %d", p.Name, e.ID, e.Key, tx.ID, b.Number)
				}
			}
		}
	}
	j.promises(p.Name, recorded)
	j.resent(p)
}

// recordings counts the events of valid transactions by key.
func recordings(blocks []Block) map[string]int {
	count := map[string]int{}
	for _, b := range blocks {
		for _, tx := range b.Txs {
			if tx.Valid {
				for _, e := range tx.Events {
					count[e.Key]++
				}
			}
		}
	}
	return count
}

// promises compares the ledger with the senders. Set aside is a final state as
// recorded is, and nothing may be in both.
func (j *judge) promises(peer string, recorded map[string]int) {
	for _, key := range slices.Sorted(maps.Keys(j.said)) {
		least, most := j.promised[key], j.promised[key]+j.open[key]+j.unheard[key]
		have := recorded[key] + j.dead[key]
		if have < least {
			j.find(Lost, "peer %s: %s: promised %d times, recorded %d, set aside %d", peer, key, least, recorded[key], j.dead[key])
		}
		if have > most {
			j.find(Twice, "peer %s: %s: happened %d times, recorded %d, set aside %d", peer, key, most, recorded[key], j.dead[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(recorded)) {
		switch {
		case j.refused[key]:
			j.find(Stranger, "peer %s: %s: refused, and recorded %d times", peer, key, recorded[key])
		case !j.said[key]:
			j.find(Stranger, "peer %s: %s: recorded %d times, and nobody sent it", peer, key, recorded[key])
		}
	}
}

// resent finds segments that were sent again in another transaction after one
// was valid. The contract keeps such a transaction from writing, but what
// relies on that has forgotten which transaction it was waiting for.
func (j *judge) resent(p Peer) {
	valid := map[string]string{} // segment -> transaction
	for _, b := range p.Blocks {
		for _, tx := range b.Txs {
			if tx.Segment == "" {
				continue
			}
			if first, known := valid[tx.Segment]; known && first != tx.ID {
				j.find(Resent, "peer %s: segment %q stands by transaction %s, and block %d holds transaction %s for it", p.Name, tx.Segment, first, b.Number, tx.ID)
				continue
			}
			if tx.Valid {
				valid[tx.Segment] = tx.ID
			}
		}
	}
}

// agreement compares all chains with the first.
func (j *judge) agreement() {
	if len(j.run.Peers) == 0 {
		return
	}
	first := j.run.Peers[0]
	for _, p := range j.run.Peers[1:] {
		if len(p.Blocks) != len(first.Blocks) {
			j.find(Fork, "peer %s holds %d blocks, peer %s %d", p.Name, len(p.Blocks), first.Name, len(first.Blocks))
		}
		for i := range min(len(p.Blocks), len(first.Blocks)) {
			if what := difference(first.Blocks[i], p.Blocks[i]); what != "" {
				j.find(Fork, "block %d: peers %s and %s have another %s", i, first.Name, p.Name, what)
				break // every later one differs too
			}
		}
	}
	for _, b := range first.Blocks {
		j.report.Blocks++
		for _, tx := range b.Txs {
			j.report.Transactions++
			if !tx.Valid {
				j.report.Invalid++
			}
		}
	}
	j.report.Recorded = total(recordings(first.Blocks))
	j.unswept(recordings(first.Blocks))
}

// unswept lists what happened unheard and stands nowhere.
func (j *judge) unswept(recorded map[string]int) {
	for _, key := range slices.Sorted(maps.Keys(j.unheard)) {
		if recorded[key]+j.dead[key] > 0 {
			continue
		}
		j.report.ToSweep = append(j.report.ToSweep, key)
		if j.run.Swept {
			j.find(Unswept, "%s: happened unheard, and the sweep has not found it", key)
		}
	}
}

func difference(a, b Block) string {
	switch {
	case a.Hash != b.Hash:
		return "hash"
	case a.State != b.State:
		return "commit hash"
	case len(a.Txs) != len(b.Txs):
		return "number of transactions"
	}
	for i := range a.Txs {
		if a.Txs[i].ID != b.Txs[i].ID || a.Txs[i].Valid != b.Txs[i].Valid {
			return "verdict on transaction " + a.Txs[i].ID
		}
		if !slices.Equal(a.Txs[i].Events, b.Txs[i].Events) {
			return "reading of transaction " + a.Txs[i].ID
		}
	}
	return ""
}

// index compares an index with its rebuild and, since a rebuild may repeat a
// mistake, with the blocks below its height.
func (j *judge) index(x Index) {
	if x.Fingerprint != x.Rebuilt {
		j.find(Skewed, "index of %s at height %d: fingerprint %s, made anew %s", x.Name, x.Height, x.Fingerprint, x.Rebuilt)
	}
	if len(j.run.Peers) == 0 {
		return
	}
	blocks := j.run.Peers[0].Blocks
	if x.Height != uint64(len(blocks)) {
		j.find(Skewed, "index of %s has height %d, the chain %d", x.Name, x.Height, len(blocks))
	}
	recorded := recordings(blocks[:min(x.Height, uint64(len(blocks)))])
	for _, key := range union(recorded, x.Events) {
		if recorded[key] != x.Events[key] {
			j.find(Skewed, "index of %s: %s: told %d times, the blocks have it %d times", x.Name, key, x.Events[key], recorded[key])
		}
	}
}

func union(a, b map[string]int) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]int{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

func total(m map[string]int) int {
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}
