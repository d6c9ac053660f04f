package hosts

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"
)

// Kinds of files that organisations hand each other. There are no others.
const (
	Descriptor = "descriptor"
	Genesis    = "genesis block"
	Package    = "package"
)

// largest is how large a file that is carried may be.
const largest = 64 << 20

// Crossing is a file that was carried.
type Crossing struct {
	Kind, From, To, File string
	Hash                 [sha256.Size]byte
}

// Carry copies a file from one host to another, as somebody does by mail or with a stick, and notes it. It is
// refused for what is not of a kind that organisations hand each other, and for whatever holds a private key:
// one that looks like one, or a trace of one that any host has.
func (t *Testbed) Carry(from *Host, path string, to *Host, dest string) error {
	raw, err := os.ReadFile(filepath.Join(from.Folder, path))
	if err != nil {
		return err
	}
	kind, err := kindOf(raw)
	if err == nil {
		err = t.harmless(raw)
	}
	if err != nil {
		return fmt.Errorf("%s of %s does not cross to %s: %w", path, from.Name, to.Name, err)
	}
	target := filepath.Join(to.Folder, dest)
	if err := errors.Join(os.WriteFile(target, raw, 0o644), os.Chown(target, to.user, to.user)); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.crossed = append(t.crossed, Crossing{kind, from.Name, to.Name, filepath.Base(path), sha256.Sum256(raw)})
	return nil
}

// Crossed lists what was carried.
func (t *Testbed) Crossed() []Crossing {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Crossing(nil), t.crossed...)
}

func kindOf(raw []byte) (string, error) {
	if len(raw) > largest {
		return "", fmt.Errorf("%d bytes are too many", len(raw))
	}
	var envelope struct {
		PayloadType string `json:"payloadType"`
	}
	if json.Unmarshal(raw, &envelope) == nil && envelope.PayloadType == "application/vnd.waybill.organization+json" {
		return Descriptor, nil
	}
	if files, err := unpack(raw); err == nil && files["metadata.json"] != nil {
		return Package, nil
	}
	var block common.Block
	if proto.Unmarshal(raw, &block) == nil && block.GetHeader() != nil && block.GetHeader().GetNumber() == 0 && len(block.GetData().GetData()) == 1 {
		return Genesis, nil
	}
	return "", errors.New("it is neither a descriptor nor a genesis block nor a package")
}

// harmless looks for private keys in a file, and in a package's files.
func (t *Testbed) harmless(raw []byte) error {
	keys, err := t.keys()
	if err != nil {
		return err
	}
	texts := map[string][]byte{"": raw}
	if files, err := unpack(raw); err == nil {
		for name, text := range files {
			texts[name] = text
			if inner, err := unpack(text); err == nil {
				for n, x := range inner {
					texts[name+"/"+n] = x
				}
			}
		}
	}
	for name, text := range texts {
		if found := privateKeys(text); len(found) > 0 {
			return fmt.Errorf("%s holds a private key", filepath.Join("it", name))
		}
		if trace := keys.in(text); trace != nil {
			return fmt.Errorf("%s holds a private key of %s (%s)", filepath.Join("it", name), trace.host, trace.path)
		}
	}
	return nil
}

// unpack reads a tar.gz.
func unpack(raw []byte) (map[string][]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for r := tar.NewReader(io.LimitReader(z, 2*largest)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
}
