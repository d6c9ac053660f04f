package main

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/network"
)

// auditor is who reads when nobody says who does: the role that may read and not sign.
const auditor = "auditor"

// person is one identity of a network folder.
type person struct {
	org  network.Client
	name string
	keys network.Identity
	key  crypto.Signer // opened; nil: it is read from its file
}

// openKey is the person's key if it had to be opened, else nil.
func (p person) openKey() crypto.PrivateKey {
	if p.key == nil {
		return nil
	}
	return p.key
}

// String returns ORG/NAME, as --as takes it.
func (p person) String() string { return p.org.Org + "/" + p.name }

// clients reads the network folder.
func (a *app) clients() (network.Clients, error) {
	c, err := a.backends.clients(a.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return c, hint(fmt.Errorf("there is no network in %s", a.dir),
			"make one with: waybill network up --dir %s; or name another folder with --dir or WAYBILL_DIR", a.dir)
	}
	return c, err
}

// identities lists ORG/NAME of everybody in the folder, in its own order.
func identities(c network.Clients) []string {
	var all []string
	for _, o := range c.Orgs {
		names := []string{}
		for name := range o.People {
			names = append(names, o.Org+"/"+name)
		}
		slices.Sort(names)
		all = append(all, names...)
	}
	return all
}

// findIdentity reads ORG/NAME.
func findIdentity(c network.Clients, as string) (person, error) {
	orgName, name, ok := strings.Cut(as, "/")
	for _, o := range c.Orgs {
		if keys, known := o.People[name]; ok && o.Org == orgName && known {
			return person{org: o, name: name, keys: keys}, nil
		}
	}
	return person{}, hint(usagef("there is no identity %q in this network: --as wants ORG/NAME", as), "%s", didYouMean(as, identities(c)))
}

// signer is who signs. There is no default: a transaction is signed by somebody on purpose.
func (a *app) signer() (network.Clients, person, error) {
	c, err := a.clients()
	if err != nil {
		return c, person{}, err
	}
	if a.as == "" {
		return c, person{}, hint(usagef("a transaction needs a signer: name one with --as ORG/NAME or WAYBILL_AS"),
			"there are: %s", strings.Join(identities(c), ", "))
	}
	p, err := findIdentity(c, a.as)
	return c, p, err
}

// completeIdentity completes --as in a shell.
func (a *app) completeIdentity(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	c, err := a.clients()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return identities(c), cobra.ShellCompDirectiveNoFileComp
}
