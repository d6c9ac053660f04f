package contract

import (
	"crypto/sha512"
	"encoding/binary"

	"github.com/waybill-dev/waybill/chaincode/manifest"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// manifests returns what the manifests beside a segment say, by digest. One
// that is no manifest of a pushed digest fails the transaction: its sender
// counts on it. One that cannot be read as a manifest proves nothing.
func (tx *Tx) manifests(events []provenance.Event) (map[provenance.Digest]manifest.Facts, error) {
	fields, err := tx.GetStub().GetTransient()
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "transient map")
	}
	rest := fields["manifests"]
	if len(rest) > provenance.MaxManifests {
		return nil, provenance.Errorf(provenance.Invalid, "manifests of %d bytes beside a segment: at most %d", len(rest), provenance.MaxManifests)
	}
	if len(rest) == 0 {
		return nil, nil
	}
	pushed, long := make(map[provenance.Digest]bool, len(events)), false
	for _, e := range events {
		if e.Action == provenance.Push {
			pushed[e.Digest] = true
			long = long || len(e.Digest.Raw()) == sha512.Size
		}
	}
	facts := make(map[provenance.Digest]manifest.Facts, len(pushed))
	for len(rest) > 0 {
		n, used := binary.Uvarint(rest)
		if used <= 0 || n > uint64(len(rest)-used) || n > provenance.MaxManifest {
			return nil, provenance.Errorf(provenance.Invalid, "manifests beside a segment: cut off, or one is longer than %d bytes", provenance.MaxManifest)
		}
		body := rest[used : used+int(n)]
		rest = rest[used+int(n):]
		// Once for each algorithm, however many digests were pushed.
		names := []provenance.Digest{provenance.SHA256Of(body)}
		if long {
			sum := sha512.Sum512(body)
			d, err := provenance.DigestOfHash(sum[:])
			if err != nil {
				return nil, err
			}
			names = append(names, d)
		}
		known := false
		for _, d := range names {
			if !pushed[d] {
				continue
			}
			known = true
			if f, err := manifest.Hashed(body, d); err == nil {
				facts[d] = f
			}
		}
		if !known {
			return nil, provenance.Errorf(provenance.Invalid, "a manifest beside a segment is of no image that was pushed in it")
		}
	}
	return facts, nil
}

// Manifest proves an image that is recorded by its digest alone: from the bytes
// of its manifest, sent in the transient field "manifest". Any member's gateway
// may, for the bytes prove themselves. What is proven is success without a write.
func (RecordContract) Manifest(tx *Tx, host, repository, digest string) (string, error) {
	h, repo, err := parseRepository(host, repository)
	if err != nil {
		return "", err
	}
	d, err := provenance.ParseDigest(digest)
	if err != nil {
		return "", err
	}
	body, err := tx.transient("manifest")
	if err != nil {
		return "", err
	}
	facts, err := manifest.Read(body, "", d)
	if err != nil {
		return "", err
	}
	key := state.PlaceKey(d, h, repo)
	var place state.Place
	found, err := state.Read(tx, key, &place)
	switch {
	case err != nil:
		return "", err
	case !found:
		return "", provenance.Errorf(provenance.NotFound, "no push of %s to %s/%s is on the ledger", d.Short(), h, repo)
	case place.Proven:
		return answer(place, nil)
	}
	place.Prove(facts)
	if err := noteChildren(tx, h, repo, d, facts.Children); err != nil {
		return "", err
	}
	return answer(place, tx.put(key, place))
}

// noteChildren notes that an index lists images, for people and so that there may be
// evidence about those that were never pushed by themselves.
func noteChildren(tx *Tx, h provenance.Host, repo provenance.Repository, index provenance.Digest, children []provenance.Digest) error {
	keys := make([]string, len(children))
	for i, child := range children {
		keys[i] = state.ParentsKey(child, h, repo)
	}
	if len(keys) == 0 {
		return nil
	}
	values, err := tx.Get(keys...)
	if err != nil {
		return err
	}
	for i, v := range values {
		var p state.Parents
		if v != nil {
			if err := state.Decode(v, &p); err != nil {
				return err
			}
		}
		if p.Add(index) {
			if err := tx.put(keys[i], p); err != nil {
				return err
			}
		}
	}
	return nil
}
