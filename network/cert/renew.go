package cert

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Nodes are the organisation's running programs.
type Nodes interface {
	// Restart ends a node and starts it, and returns when it is of use again. A node that did not run is left alone.
	Restart(ctx context.Context, node string) error
}

// Options say how certificates are renewed.
type Options struct {
	MSPID    string        // of the organisation, as the channel knows it
	Lifetime time.Duration // default DefaultLifetime; never beyond the authority's own
	Now      func() time.Time
	Anew     bool  // renew everything, also what an interrupted renewal of everything has renewed
	Nodes    Nodes // nil: nothing is restarted; whoever runs the nodes has to
	// Channel returns the channel's configuration as it is now. It is asked for an orderer's enrolment only.
	Channel func(context.Context) (Channel, error)
	// Protect encrypts a person's new key where the old one is encrypted; nil: such a key is not renewed here.
	Protect func(person string, key crypto.PrivateKey) ([]byte, error)
	// Vote writes what the others have to agree to (a new descriptor), and returns what a person does with it.
	Vote func(changed Changed) (todo string, err error)
	// Hosts are what a pair's new certificate names beside those that the old one names, by the pair's name.
	Hosts map[string][]string
	// Step tells a person what is being done; optional.
	Step func(what string)
}

// Changed is what of an organisation the channel is to know anew. Nil means: as it is.
type Changed struct {
	OrdererIdentity, OrdererTLS []byte // PEM
	Roots, TLSRoots             [][]byte
	RevocationLists             [][]byte
}

// State is what became of one certificate.
type State string

// The states. What waits is prepared, and what was before goes on.
const (
	Renewed           State = "renewed"
	WaitsForVote      State = "waits for the channel's vote"
	WaitsForRestart   State = "renewed, waits for a restart"
	WaitsForElsewhere State = "waits for the organisation's own PKI"
	RenewedBefore     State = "was renewed before this run"
)

// Outcome is what became of one certificate, and what is left to be done.
type Outcome struct {
	Name    string    `json:"name"`
	State   State     `json:"state"`
	Expires time.Time `json:"expires"`
	Todo    string    `json:"todo,omitempty"`
}

func (o Options) withDefaults() (Options, error) {
	if o.Lifetime == 0 {
		o.Lifetime = DefaultLifetime
	}
	if o.Lifetime < shortest {
		return o, provenance.Errorf(provenance.Invalid, "lifetime %s: want %s or more", o.Lifetime, shortest)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	return o, nil
}

// Renew gives the named pairs new keys and certificates, all pairs where none is named. What has been prepared before is
// gone on with and not made again. Nodes are restarted one at a time, each awaited before the next is touched.
//
// An error leaves what was done done; calling it again goes on: of a renewal of everything that was interrupted, or that
// waits for a vote, what is done is not done a second time within two weeks.
func (f *Folder) Renew(ctx context.Context, names []string, o Options) ([]Outcome, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	pairs, err := f.Select(names)
	if err != nil {
		return nil, err
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	all := len(names) == 0
	r, err := f.openRound(all, o)
	if err != nil {
		return nil, err
	}
	var out []Outcome
	for len(pairs) > 0 {
		node := pairs[0].Node
		n := 1
		for node != "" && n < len(pairs) && pairs[n].Node == node {
			n++
		}
		done, err := f.renewTogether(ctx, pairs[:n], all, r, o)
		out = append(out, done...)
		if err != nil {
			return out, err
		}
		pairs = pairs[n:]
	}
	return out, f.closeRound(r)
}

// renewTogether renews the pairs of one node, and restarts it once.
func (f *Folder) renewTogether(ctx context.Context, pairs []Pair, all bool, r *round, o Options) ([]Outcome, error) {
	var out []Outcome
	for _, p := range pairs {
		c, is, err := f.done(r, p, all, o)
		if err != nil {
			return out, fmt.Errorf("renew %s: %w", p.Name, err)
		}
		if is {
			if err := f.after(p); err != nil {
				return out, err
			}
			out = append(out, Outcome{Name: p.Name, State: RenewedBefore, Expires: c.NotAfter})
			continue
		}
		did, err := f.renew(ctx, p, r, o)
		if err != nil {
			return out, fmt.Errorf("renew %s: %w", p.Name, err)
		}
		out = append(out, did)
	}
	node := pairs[0].Node
	if !slices.Contains(r.Pending, node) {
		return out, nil
	}
	if o.Nodes == nil {
		for i := range out {
			if out[i].State == Renewed || out[i].State == RenewedBefore {
				out[i].State, out[i].Todo = WaitsForRestart, "have the "+node+" restarted with it"
			}
		}
		return out, f.restarted(r, node) // by whoever runs it: nobody here hears of it
	}
	o.Step("restarting the " + node)
	if err := o.Nodes.Restart(ctx, node); err != nil {
		return out, fmt.Errorf("restart the %s with its new certificate: %w", node, err)
	}
	return out, f.restarted(r, node)
}

func (f *Folder) renew(ctx context.Context, p Pair, r *round, o Options) (Outcome, error) {
	staged, err := f.staged(p)
	if err != nil {
		return Outcome{}, err
	}
	if staged != "" {
		if staged, err = f.answered(p, staged); err != nil {
			return Outcome{}, err
		}
	}
	if staged == "" {
		if err := f.prepare(p, o); err != nil {
			return Outcome{}, err
		}
		if staged, err = f.staged(p); err != nil {
			return Outcome{}, err
		}
	}
	cert, err := readCert(filepath.Join(staged, certFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Outcome{Name: p.Name, State: WaitsForElsewhere, Todo: fmt.Sprintf("have %s signed, put the answer at %s, and renew again", f.relative(f.request(p)), f.relative(f.answer(p)))}, nil
	}
	if err != nil {
		return Outcome{}, err
	}
	did := Outcome{Name: p.Name, State: Renewed, Expires: cert.NotAfter}
	if p.Name == OrdererEnrolment {
		todo, err := f.awaitVote(ctx, p, staged, o)
		if err != nil {
			return did, err
		}
		if todo != "" {
			did.State, did.Todo = WaitsForVote, todo
			return did, nil
		}
	}
	o.Step("switching " + p.Name + " to its new certificate")
	if err := f.switching(r, p, cert); err != nil {
		return did, err
	}
	if err := f.activate(p); err != nil {
		return did, err
	}
	return did, f.after(p)
}

// prepare makes a new key, and its certificate where the authority is here.
func (f *Folder) prepare(p Pair, o Options) error {
	old, err := readCert(p.Cert)
	if err != nil {
		return err
	}
	old = withHosts(old, o.Hosts[p.Name])
	oldKey, err := os.ReadFile(p.Key)
	if err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	text, err := encodeKey(key)
	if err != nil {
		return err
	}
	if encrypted(oldKey) {
		if o.Protect == nil {
			return provenance.Errorf(provenance.Invalid, "the key of %s is encrypted, and no passphrase is given for the new one", p.Name)
		}
		if text, err = o.Protect(p.Name, key); err != nil {
			return err
		}
	}
	var authority signer
	if p.Authority != Self {
		authority, err = f.signer(p.Authority)
		if errors.Is(err, errElsewhere) {
			return f.ask(p, old, key, text)
		}
		if err != nil {
			return err
		}
	}
	from, until := window(o.Now(), o.Lifetime, authority.cert)
	if !until.After(o.Now()) {
		return provenance.Errorf(provenance.Invalid, "the authority itself expired at %s: waybill cert rollover makes a new one", authority.cert.NotAfter.UTC().Format(time.RFC3339))
	}
	template, err := like(old, key.Public(), from, until)
	if err != nil {
		return err
	}
	if authority.cert == nil {
		authority = signer{template, key}
	}
	der, err := authority.sign(template, key.Public())
	if err != nil {
		return err
	}
	behind, err := f.behind(p, authority.cert, o.Now())
	if err != nil {
		return err
	}
	return f.stage(p, append(encodeCert(der), behind...), text)
}

// awaitVote returns what has to be done before the channel knows the prepared certificate; nothing once it does.
func (f *Folder) awaitVote(ctx context.Context, p Pair, staged string, o Options) (todo string, err error) {
	if o.Channel == nil {
		return "", provenance.Errorf(provenance.Unavailable, "%s is pinned in the channel, whose configuration cannot be asked for", p.Name)
	}
	channel, err := o.Channel(ctx)
	if err != nil {
		return "", fmt.Errorf("ask for the channel's configuration: %w", err)
	}
	now, err := os.ReadFile(p.Cert)
	if err != nil {
		return "", err
	}
	prepared, err := os.ReadFile(filepath.Join(staged, certFile))
	if err != nil {
		return "", err
	}
	if channel.Pins(prepared) {
		return "", nil
	}
	if !channel.Pins(now) {
		return "", nil // no consenter of this channel: nobody knows the old one either
	}
	if err := f.keepRevoked(channel, o); err != nil { // what is voted on names the organisation's lists as well
		return "", err
	}
	changed := Changed{OrdererIdentity: prepared}
	if changed.OrdererTLS, err = os.ReadFile(f.at("orderer", "tls", "server.crt")); err != nil {
		return "", err
	}
	if o.Vote == nil {
		return fmt.Sprintf("propose %s to the channel's members, and renew again once it is in force", f.relative(filepath.Join(staged, certFile))), nil
	}
	return o.Vote(changed)
}

// after brings what copies a pair into line with it.
func (f *Folder) after(p Pair) error {
	if p.Name == "chaincode-client-tls" {
		return f.dialChaincode()
	}
	return nil
}
