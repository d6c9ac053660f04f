package cert

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Stage is how far a roll-over of the authorities is.
type Stage string

// The stages, in order. Between them somebody else acts: the channel's members vote, or every certificate is renewed.
const (
	Introduced Stage = "the new authorities are made and trusted here; the channel has to take them in"
	Issuing    Stage = "the new authorities sign; every certificate has to be renewed"
	Leaving    Stage = "nothing depends on the old authorities any more; the channel has to let them go"
	Finished   Stage = "the old authorities are gone"
)

// Progress is where a roll-over stands and what it waits for.
type Progress struct {
	Stage Stage    `json:"stage"`
	Todo  string   `json:"todo,omitempty"`
	Old   []string `json:"old,omitempty"` // certificates that are still below the old authorities
}

// authorityPair is an authority as a pair: its file holds the certificate that signs first, and behind it whatever else
// is trusted meanwhile.
func (f *Folder) authorityPair(a Authority) Pair {
	name := "ca"
	if a == Transport {
		name = "tlsca"
	}
	cert, key := f.authorityFiles(a)
	return Pair{Name: name, Cert: cert, Key: key, Authority: Self}
}

// RollOver makes the next step from one generation of authorities to the next, for enrolment and TLS together. It looks
// where things stand and does what can be done, so it is simply called again: after the channel has the new
// authorities, after everything is renewed, after the channel has let the old ones go. At no time is a certificate in
// use that somebody does not trust.
func (f *Folder) RollOver(ctx context.Context, mspID string, o Options) (Progress, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Progress{}, err
	}
	if o.Channel == nil {
		return Progress{}, provenance.Errorf(provenance.Unavailable, "the channel's configuration cannot be asked for")
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return Progress{}, err
	}
	defer unlock()
	both := []Authority{Enrolment, Transport}
	channel, err := o.Channel(ctx)
	if err != nil {
		return Progress{}, fmt.Errorf("ask for the channel's configuration: %w", err)
	}
	o.MSPID = mspID
	if err := f.keepRevoked(channel, o); err != nil {
		return Progress{}, err
	}
	bundles := map[Authority][]*x509.Certificate{}
	for _, a := range both {
		if bundles[a], err = readCerts(f.authorityPair(a).Cert); err != nil {
			return Progress{}, err
		}
	}
	prepared := 0
	for _, a := range both {
		staged, err := f.staged(f.authorityPair(a))
		if err != nil {
			return Progress{}, err
		}
		if staged != "" {
			prepared++
		}
	}
	switch {
	case prepared == 0 && len(bundles[Enrolment]) == 1 && len(bundles[Transport]) == 1,
		prepared < len(both) && !newFirst(channel, mspID, bundles):
		return f.introduce(ctx, o)
	case prepared > 0:
		for _, a := range both {
			staged, err := f.staged(f.authorityPair(a))
			if err != nil {
				return Progress{}, err
			}
			if staged == "" {
				continue // switched before a crash
			}
			next, err := readCert(filepath.Join(staged, certFile))
			if err != nil {
				return Progress{}, err
			}
			if !channel.Trusts(mspID, a, encodeCert(next.Raw)) {
				return f.introduced(o)
			}
		}
		o.Step("the new authorities sign from now on")
		for _, a := range both {
			staged, err := f.staged(f.authorityPair(a))
			if err != nil {
				return Progress{}, err
			}
			if staged != "" {
				if err := f.activate(f.authorityPair(a)); err != nil {
					return Progress{}, err
				}
			}
		}
		return Progress{Stage: Issuing, Todo: "waybill cert renew --all"}, nil
	}
	return f.leave(ctx, mspID, channel, bundles, o)
}

// newFirst says whether the authorities that sign are ones that the channel knows beside others: then a roll-over is past
// its switch.
func newFirst(channel Channel, mspID string, bundles map[Authority][]*x509.Certificate) bool {
	for a, certs := range bundles {
		if len(certs) < 2 || !channel.Trusts(mspID, a, encodeCert(certs[0].Raw)) {
			return false
		}
	}
	return true
}

// introduce makes the new authorities, and lets the own nodes trust them before anybody has a certificate of theirs.
func (f *Folder) introduce(ctx context.Context, o Options) (Progress, error) {
	for _, a := range []Authority{Enrolment, Transport} {
		p := f.authorityPair(a)
		staged, err := f.staged(p)
		if err != nil {
			return Progress{}, err
		}
		if staged != "" {
			continue
		}
		if err := f.successor(a, p, o); err != nil {
			return Progress{}, fmt.Errorf("successor of %s: %w", p.Name, err)
		}
	}
	if err := f.trust(); err != nil {
		return Progress{}, err
	}
	if err := f.restartAll(ctx, o); err != nil {
		return Progress{}, err
	}
	return f.introduced(o)
}

// introduced waits for the channel to take the new authorities in.
func (f *Folder) introduced(o Options) (Progress, error) {
	todo, err := f.voteRoots(o)
	if err == nil {
		todo, err = f.voteTodo(todo)
	}
	return Progress{Stage: Introduced, Todo: todo}, err
}

// successor makes an authority's follower. It is trusted at once and signs nothing yet. A crash between the two stages
// leaves the follower's certificate trusted and its key lost: it is made again then, and the lost one goes with the old.
func (f *Folder) successor(a Authority, p Pair, o Options) error {
	now, err := f.signer(a)
	if errors.Is(err, errElsewhere) {
		return provenance.Errorf(provenance.Invalid, "the organisation's own PKI signs: add its new root to %s behind the old one, and renew once the channel has it", f.relative(p.Cert))
	}
	if err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	from, until := window(o.Now(), authorityLifetime, nil)
	template, err := like(now.cert, key.Public(), from, until)
	if err != nil {
		return err
	}
	// Fabric tells authorities apart by their key; people by their name.
	template.Subject.SerialNumber = fmt.Sprintf("%x", template.SerialNumber.Bytes()[:4])
	template.RawSubject = nil
	if a == Transport {
		template.MaxPathLen, template.MaxPathLenZero = 1, false // it may vouch for its own successor: see bridge
	}
	der, err := signer{template, key}.sign(template, key.Public())
	if err != nil {
		return err
	}
	if a == Transport {
		made, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		if err := f.bridge(now, made); err != nil {
			return err
		}
	}
	newKey, err := encodeKey(key)
	if err != nil {
		return err
	}
	oldKey, err := os.ReadFile(p.Key)
	if err != nil {
		return err
	}
	old, fresh := encodeCert(now.cert.Raw), encodeCert(der)
	if err := f.stage(p, bytes.Join([][]byte{old, fresh}, nil), oldKey); err != nil {
		return err
	}
	if err := f.activate(p); err != nil {
		return err
	}
	return f.stage(p, bytes.Join([][]byte{fresh, old}, nil), newKey)
}

// leave ends the roll-over: nothing below the old authorities is in use, the channel has let them go, and so do we.
func (f *Folder) leave(ctx context.Context, mspID string, channel Channel, bundles map[Authority][]*x509.Certificate, o Options) (Progress, error) {
	old, err := f.below(bundles)
	if err != nil {
		return Progress{}, err
	}
	if len(old) > 0 {
		return Progress{Stage: Issuing, Todo: "waybill cert renew --all", Old: old}, nil
	}
	for _, a := range []Authority{Enrolment, Transport} {
		for _, c := range bundles[a][1:] {
			if channel.Trusts(mspID, a, encodeCert(c.Raw)) {
				todo := "put the descriptor with the new authorities alone to the channel's vote, then roll over again"
				if o.Vote != nil {
					todo, err = o.Vote(Changed{
						Roots:    [][]byte{encodeCert(bundles[Enrolment][0].Raw)},
						TLSRoots: [][]byte{encodeCert(bundles[Transport][0].Raw)},
					})
				}
				return Progress{Stage: Leaving, Todo: todo}, err
			}
		}
	}
	for _, a := range []Authority{Enrolment, Transport} {
		p := f.authorityPair(a)
		if len(bundles[a]) == 1 {
			continue
		}
		key, err := os.ReadFile(p.Key)
		if err != nil {
			return Progress{}, err
		}
		if err := f.stage(p, encodeCert(bundles[a][0].Raw), key); err != nil {
			return Progress{}, err
		}
		if err := f.activate(p); err != nil {
			return Progress{}, err
		}
	}
	if err := f.trust(); err != nil {
		return Progress{}, err
	}
	lists, err := f.RevocationLists() // without those of who is gone
	if err != nil {
		return Progress{}, err
	}
	if err := f.writeLists(lists); err != nil {
		return Progress{}, err
	}
	return Progress{Stage: Finished}, f.restartAll(ctx, o)
}

// below returns the names of the pairs that an old authority vouches for.
func (f *Folder) below(bundles map[Authority][]*x509.Certificate) ([]string, error) {
	pairs, err := f.Pairs()
	if err != nil {
		return nil, err
	}
	var old []string
	for _, p := range pairs {
		if p.Authority == Self {
			continue
		}
		c, err := readCert(p.Cert)
		if err != nil {
			return nil, err
		}
		if c.CheckSignatureFrom(bundles[p.Authority][0]) != nil {
			old = append(old, p.Name)
		}
	}
	return old, nil
}

// voteRoots asks for a vote that takes all authorities that are trusted here into the channel.
func (f *Folder) voteRoots(o Options) (string, error) {
	if o.Vote == nil {
		return "put the descriptor with both authorities to the channel's vote, then roll over again", nil
	}
	var c Changed
	for _, a := range []Authority{Enrolment, Transport} {
		certs, err := readCerts(f.authorityPair(a).Cert)
		if err != nil {
			return "", err
		}
		for _, cert := range certs {
			if a == Enrolment {
				c.Roots = append(c.Roots, encodeCert(cert.Raw))
			} else {
				c.TLSRoots = append(c.TLSRoots, encodeCert(cert.Raw))
			}
		}
	}
	return o.Vote(c)
}

func (f *Folder) restartAll(ctx context.Context, o Options) error {
	if o.Nodes == nil {
		return nil
	}
	for _, node := range []string{Chaincode, Peer, Orderer} {
		if _, err := os.Stat(f.at(node)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		o.Step("restarting the " + node)
		if err := o.Nodes.Restart(ctx, node); err != nil {
			return fmt.Errorf("restart the %s: %w", node, err)
		}
	}
	return nil
}
