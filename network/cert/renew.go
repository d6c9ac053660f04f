package cert

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network/disk"
	"github.com/waybill-dev/waybill/network/org"
)

// Nodes are the organisation's running programs.
type Nodes interface {
	// Restart ends a node and starts it, and returns when it is of use again. A node that did not run is left alone.
	Restart(ctx context.Context, node string) error
}

// Options say how certificates are renewed.
type Options struct {
	Lifetime time.Duration // default DefaultLifetime; never beyond the authority's own
	Now      func() time.Time
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
// An error leaves what was done done; calling it again goes on.
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
	var out []Outcome
	for len(pairs) > 0 {
		node := pairs[0].Node
		n := 1
		for node != "" && n < len(pairs) && pairs[n].Node == node {
			n++
		}
		done, err := f.renewTogether(ctx, pairs[:n], o)
		out = append(out, done...)
		if err != nil {
			return out, err
		}
		pairs = pairs[n:]
	}
	return out, nil
}

// renewTogether renews the pairs of one node, and restarts it once.
func (f *Folder) renewTogether(ctx context.Context, pairs []Pair, o Options) ([]Outcome, error) {
	var out []Outcome
	switched := false
	for _, p := range pairs {
		did, err := f.renew(ctx, p, o)
		if err != nil {
			return out, fmt.Errorf("renew %s: %w", p.Name, err)
		}
		switched = switched || did.State == Renewed
		out = append(out, did)
	}
	node := pairs[0].Node
	if !switched || node == "" || node == Gateway { // a gateway sees its files change
		return out, nil
	}
	if o.Nodes == nil {
		for i := range out {
			if out[i].State == Renewed {
				out[i].State, out[i].Todo = WaitsForRestart, "restart the "+node
			}
		}
		return out, nil
	}
	o.Step("restarting the " + node)
	if err := o.Nodes.Restart(ctx, node); err != nil {
		return out, fmt.Errorf("restart the %s with its new certificate: %w", node, err)
	}
	return out, nil
}

func (f *Folder) renew(ctx context.Context, p Pair, o Options) (Outcome, error) {
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
	return f.stage(p, encodeCert(der), text)
}

// request and answer are where a request to the organisation's own PKI goes and comes from.
func (f *Folder) request(p Pair) string { return f.at("csr", p.Name+".csr") }
func (f *Folder) answer(p Pair) string  { return f.at("csr", p.Name+".crt") }

// ask writes a request for a certificate like the old one, and keeps its key beside the pair in use. An answer to an
// earlier request is put away first: it is of another key.
func (f *Folder) ask(p Pair, old *x509.Certificate, key crypto.Signer, text []byte) error {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		RawSubject: old.RawSubject, DNSNames: old.DNSNames, IPAddresses: old.IPAddresses, EmailAddresses: old.EmailAddresses, URIs: old.URIs,
	}, key)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	if err := os.Remove(f.answer(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := f.stage(p, nil, text); err != nil {
		return err
	}
	return disk.Write(f.request(p), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), 0o644)
}

// answered takes what somebody signed for the prepared key, if it is there and fits. It returns the prepared generation,
// or "" where that has to be made again because its certificate has ended meanwhile.
func (f *Folder) answered(p Pair, staged string) (string, error) {
	have, err := os.ReadFile(filepath.Join(staged, certFile))
	if err == nil {
		certs, err := parseCerts(have)
		if err != nil || time.Now().After(certs[0].NotAfter) {
			return "", err
		}
		return staged, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	answer, err := os.ReadFile(f.answer(p))
	if errors.Is(err, fs.ErrNotExist) {
		return staged, nil
	}
	if err != nil {
		return "", err
	}
	if err := f.checkAnswer(p, staged, answer); err != nil {
		return "", provenance.Wrap(provenance.Invalid, err, "answer %s", f.relative(f.answer(p)))
	}
	if p.Authority == Enrolment {
		if answer, err = f.enrolled(answer); err != nil {
			return "", err
		}
	}
	return staged, disk.Write(filepath.Join(staged, certFile), answer, 0o644)
}

// enrolled is an answer as Fabric wants it: the certificate alone, with its signature in the form that Fabric keeps. In
// the other an orderer would not be the one that the channel pins.
func (f *Folder) enrolled(answer []byte) ([]byte, error) {
	certs, err := parseCerts(answer)
	if err != nil {
		return nil, err
	}
	file, _ := f.authorityFiles(Enrolment)
	roots, err := readCerts(file)
	if err != nil {
		return nil, err
	}
	return encodeCert(org.LowS(certs[0], append(roots, certs[1:]...))), nil
}

// checkAnswer wants a certificate of the prepared key, below the organisation's authority, that says what the old one says.
func (f *Folder) checkAnswer(p Pair, staged string, answer []byte) error {
	key, err := os.ReadFile(filepath.Join(staged, keyFile))
	if err != nil {
		return err
	}
	if err := fits(answer, key); err != nil {
		return err
	}
	certs, err := parseCerts(answer)
	if err != nil {
		return err
	}
	old, err := readCert(p.Cert)
	if err != nil {
		return err
	}
	if err := f.namesWhatWasAsked(p, certs[0]); err != nil {
		return err
	}
	if certs[0].Subject.CommonName != old.Subject.CommonName || !slices.Equal(certs[0].Subject.OrganizationalUnit, old.Subject.OrganizationalUnit) {
		return fmt.Errorf("it is of %s, and what it follows is of %s", certs[0].Subject, old.Subject)
	}
	file, _ := f.authorityFiles(p.Authority)
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	roots, below := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(raw)
	for _, c := range certs[1:] {
		below.AddCert(c)
	}
	_, err = certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: below, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
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
