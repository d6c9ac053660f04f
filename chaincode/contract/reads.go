package contract

import (
	"github.com/waybill-dev/waybill/chaincode/state"
)

// maxRemembered bounds the keys that one transaction remembers. Acts read some
// dozens; what records thousands of events reads no key twice.
const maxRemembered = 256

// remembered reads no key twice in one transaction. A peer answers all reads of a
// transaction from one height, and never with its own writes: the second answer is
// the first, and each is a round trip to the peer.
type remembered struct {
	peer state.Reader
	seen map[string][]byte
}

// Get implements state.Reader, in one round trip for what was not read before.
func (r *remembered) Get(keys ...string) ([][]byte, error) {
	var missing []string
	for _, k := range keys {
		if _, ok := r.seen[k]; !ok {
			missing = append(missing, k)
		}
	}
	if len(missing) == len(keys) && len(r.seen)+len(keys) > maxRemembered {
		return r.peer.Get(keys...)
	}
	read := map[string][]byte{}
	if len(missing) > 0 {
		values, err := r.peer.Get(missing...)
		if err != nil {
			return nil, err
		}
		for i, k := range missing {
			read[k] = values[i]
			if len(r.seen) < maxRemembered {
				r.seen[k] = values[i]
			}
		}
	}
	values := make([][]byte, len(keys))
	for i, k := range keys {
		if v, ok := read[k]; ok {
			values[i] = v
			continue
		}
		values[i] = r.seen[k]
	}
	return values, nil
}

// ahead reads at once what authorise asks of every caller of an act, and nothing
// that it would not read.
func (tx *Tx) ahead(rule access) error {
	var keys []string
	if rule.member {
		keys = append(keys, state.MembersKey())
	}
	if rule.writes {
		keys = append(keys, state.TakenKey(tx.caller))
	}
	if rule.roles != nil && !tx.certifiedAdmin(rule.roles) {
		keys = append(keys, tx.grantKeys(rule.roles)...)
	}
	if len(keys) < 2 {
		return nil
	}
	_, err := tx.Get(keys...)
	return err
}
