package org

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"

	"github.com/waybill-dev/waybill/network/disk"
)

// Options say how a folder is worked with. The zero value will do.
type Options struct {
	Log      *slog.Logger // default: none
	Progress io.Writer    // a line for each step, for a person; default: none

	// GatewayConfig returns the content of the gateway's configuration file; without it none is written.
	GatewayConfig func(Client, GatewayPaths) ([]byte, error)

	// Passphrase opens a person's encrypted key; without it only plain keys can be used.
	Passphrase func(person string) ([]byte, error)

	// LogKeeper is the command line of a program that calls KeepLogs; the folder's name is put behind it. Without one
	// a log that has become long is put aside when its node is started, and not before.
	LogKeeper []string
}

// Folder is one organisation's folder and its processes. Its methods may be used from several
// processes at once: those that change it wait for each other.
type Folder struct {
	dir  string
	opts Options
	spec Spec
	log  *slog.Logger
}

// ErrElsewhere says that the nodes are started and stopped where they run: a second process with the keys of one that runs
// in a container would sign beside it.
var ErrElsewhere = errors.New("the nodes of this organisation run elsewhere, in containers (org join --running)")

// ErrNoFolder says that a directory holds no organisation.
var ErrNoFolder = errors.New("no organisation here")

// plainPath matches what may stand in YAML unquoted and in a shell's PATH.
var plainPath = regexp.MustCompile(`^[\p{L}\p{N}/._@+=~-]+$`)

// CheckDir makes a directory's name absolute and refuses one that would need quoting.
func CheckDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if dir == "" || !plainPath.MatchString(abs) {
		return "", fmt.Errorf("directory %q: use a path of letters, digits and ._@+=~- only", dir)
	}
	return abs, nil
}

func newFolder(dir string, opts Options) (*Folder, error) {
	dir, err := CheckDir(dir)
	if err != nil {
		return nil, err
	}
	f := &Folder{dir: dir, opts: opts, log: opts.Log}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	return f, nil
}

// Open opens the organisation that is in dir; it is ErrNoFolder if there is none.
func Open(dir string, opts Options) (*Folder, error) {
	f, err := newFolder(dir, opts)
	if err != nil {
		return nil, err
	}
	return f, f.load()
}

// Prepare is Open of a folder that may not be there yet, as spec says it will be.
func Prepare(dir string, spec Spec, opts Options) (*Folder, error) {
	f, err := newFolder(dir, opts)
	if err != nil {
		return nil, err
	}
	return f, f.settle(spec)
}

// Create makes the organisation that spec says: it writes what is missing: its keys, its
// nodes' configuration, the chaincode package. A folder that is there keeps its name, MSP id,
// channel and addresses; another spec is an error, since keys, blocks and peers' build results
// hold the old one. Doing it again repairs what was cut short.
func Create(ctx context.Context, dir string, spec Spec, opts Options) (*Folder, error) {
	f, err := newFolder(dir, opts)
	if err != nil {
		return nil, err
	}
	// What cannot be is refused before there is a directory.
	if have, err := disk.Exists(f.specPath()); err != nil {
		return nil, err
	} else if !have {
		if err := (&Folder{}).settle(spec); err != nil {
			return nil, err
		}
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := f.settle(spec); err != nil {
		return nil, err
	}
	// First of all: from here on the directory is known to be ours.
	if err := f.save(); err != nil {
		return nil, err
	}
	return f, f.complete()
}

// settle makes spec the folder's, or compares it with the one that is there.
func (f *Folder) settle(spec Spec) error {
	spec.Version = SpecVersion
	have := f.spec
	if have.Version == 0 {
		if spec.Contract.Version == "" {
			spec.Contract.Version = FirstVersion
		}
		if err := spec.Validate(); err != nil {
			return err
		}
		f.spec = spec
		return nil
	}
	for _, c := range []struct {
		what       string
		have, want any
	}{
		{"the name", have.Name, spec.Name}, {"the MSP id", have.MSPID, spec.MSPID},
		{"the channel", have.Channel, spec.Channel}, {"the chaincode", have.Chaincode, spec.Chaincode},
		{"the addresses", have.Announce, spec.Announce}, {"an external CA:", have.ExternalCA, spec.ExternalCA},
	} {
		if !reflect.DeepEqual(c.have, c.want) {
			return fmt.Errorf("the organisation in %s has %s %v, not %v; use another directory", f.dir, c.what, c.have, c.want)
		}
	}
	spec.Contract.Version, spec.Contract.PackageID = have.Contract.Version, have.Contract.PackageID
	spec.Contract.Listen, spec.Next, spec.Elsewhere, spec.After = have.Contract.Listen, have.Next, have.Elsewhere, have.After
	if err := spec.Validate(); err != nil {
		return err
	}
	f.spec = spec
	return nil
}

// complete makes what is missing on disk. Each file is written whole, and those that others
// depend on are never replaced, so a crash at any point is repaired by calling it again.
func (f *Folder) complete() error {
	if err := f.makePackage(); err != nil {
		return err
	}
	if f.spec.ExternalCA {
		return f.completeExternal()
	}
	if err := f.makeCrypto(); err != nil {
		return err
	}
	return f.finish()
}

// completeExternal asks for certificates, and finishes once there are some: see Import.
func (f *Folder) completeExternal() error {
	if err := f.makeRequests(); err != nil {
		return err
	}
	have, err := disk.Exists(f.tlsCACert())
	if err != nil || !have {
		return err
	}
	return f.finish()
}

// makePackage writes the chaincode package and remembers its id. What was approved stays, even if a
// later Waybill packs differently.
func (f *Folder) makePackage() error {
	pkg, id, err := Package(f.spec.Chaincode, f.spec.Contract.Version)
	if err != nil {
		return err
	}
	if f.spec.Contract.PackageID == "" {
		f.spec.Contract.PackageID = id
		if err := f.save(); err != nil {
			return err
		}
	}
	return disk.WriteOnce(f.packagePath(f.spec.Contract), pkg, 0o644)
}

// Dir returns the folder, as an absolute path.
func (f *Folder) Dir() string { return f.dir }

// Spec returns what the organisation was told to be.
func (f *Folder) Spec() Spec { return f.spec }

func (f *Folder) at(parts ...string) string {
	return filepath.Join(append([]string{f.dir}, parts...)...)
}
func (f *Folder) specPath() string { return f.at("org.json") }
func (f *Folder) packagePath(c Contract) string {
	if c.Version == FirstVersion {
		return f.at("channel", "package.tgz")
	}
	return f.at("channel", "package-"+c.Version+".tgz")
}
func (f *Folder) caCert() string                { return f.at("ca", "ca.crt") }
func (f *Folder) tlsCACert() string             { return f.at("ca", "tlsca.crt") }
func (f *Folder) personCert(name string) string { return f.at("people", name, "cert.pem") }
func (f *Folder) personKey(name string) string  { return f.at("people", name, "key.pem") }

// GenesisPath returns where the channel's first block is, once the folder has it.
func (f *Folder) GenesisPath() string { return f.at("channel", "genesis.block") }

func (f *Folder) load() error {
	spec, err := readSpec(f.specPath())
	if errors.Is(err, ErrNoFolder) && f.spec.Version != 0 {
		return nil // prepared: as it will be
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.dir, err)
	}
	f.spec = spec
	return nil
}

func (f *Folder) save() error {
	raw, err := json.MarshalIndent(f.spec, "", "  ")
	if err != nil {
		return fmt.Errorf("encode org.json: %w", err)
	}
	return disk.Write(f.specPath(), append(raw, '\n'), 0o644)
}

// lock keeps other processes from changing the folder meanwhile, and refuses a directory with
// something else in it.
func (f *Folder) lock(ctx context.Context) (unlock func(), err error) {
	const name = ".lock"
	entries, err := os.ReadDir(f.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ours := len(entries) == 0
	for _, e := range entries {
		// ca: a network of an older version has no org.json yet.
		ours = ours || e.Name() == "org.json" || e.Name() == name || e.Name() == "ca"
	}
	if !ours {
		return nil, fmt.Errorf("directory %s holds something that is not an organisation: %w", f.dir, ErrNoFolder)
	}
	if unlock, err = disk.Lock(ctx, f.at(name)); err != nil {
		return nil, err
	}
	// Whoever had the lock before us may have made or changed it.
	if err := f.load(); err != nil && !errors.Is(err, ErrNoFolder) {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// step tells a person what is being done.
func (f *Folder) step(ctx context.Context, what string) {
	f.log.InfoContext(ctx, what)
	if f.opts.Progress != nil {
		_, _ = fmt.Fprintln(f.opts.Progress, what)
	}
}
