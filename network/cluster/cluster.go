// Package cluster turns an organisation's folder into what containers are given of it: for each node
// the files that it needs and no others, with the paths in them that hold in a container.
package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/network/disk"
	"github.com/waybill-dev/waybill/network/org"
)

// Where things are in every container; deploy/images and deploy/chart know it too.
const (
	home    = "/etc/waybill"
	data    = "/var/lib/waybill"
	builder = "/usr/lib/waybill/builder"
)

// maxFile bounds what one file may be: a Secret holds a mebibyte.
const maxFile = 512 << 10

// Node is what one node is given.
type Node struct {
	Name  string // peer, orderer, chaincode, gateway
	Files []File // in the order of their paths
}

// File is one of a node's files, below /etc/waybill.
type File struct {
	Path    string // peer/tls/server.key
	Key     string // its name in a Secret
	Content []byte
}

// Nodes reads the folder. No authority's key and no person's but the gateway's own is among the
// files.
func Nodes(folder string, spec org.Spec) ([]Node, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	var nodes []Node
	for _, n := range []struct {
		name  string
		paths []string
	}{
		{"peer", []string{"peer/core.yaml", "peer/msp", "peer/tls", "builder/connection*.json"}},
		{"orderer", []string{"orderer/orderer.yaml", "orderer/msp", "orderer/tls", "orderer/admin/client.crt"}},
		{"chaincode", []string{"chaincode/server.crt", "chaincode/server.key", "chaincode/ca.crt"}},
		{"gateway", []string{"gateway/config.yaml", "gateway/tls.crt", "gateway/tls.key", "people/gateway/cert.pem", "people/gateway/key.pem"}},
	} {
		if n.name == "orderer" && spec.Announce.Orderer == "" {
			continue
		}
		node, err := read(folder, n.name, n.paths)
		if err != nil {
			return nil, fmt.Errorf("files of the %s: %w", n.name, err)
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

func read(folder, name string, paths []string) (Node, error) {
	node := Node{Name: name}
	todo, err := expand(folder, paths)
	if err != nil {
		return node, err
	}
	keys := map[string]string{}
	for done := map[string]bool{}; len(todo) > 0; {
		path := todo[0]
		todo = todo[1:]
		if done[path] {
			continue
		}
		done[path] = true
		content, err := readFile(filepath.Join(folder, path))
		if err != nil {
			return node, err
		}
		if strings.HasSuffix(path, ".yaml") {
			var names []string
			content, names = rewrite(content, folder, name)
			for _, named := range names {
				if err := allowed(named); err != nil {
					return node, fmt.Errorf("%s names %s: %w", path, named, err)
				}
				if info, err := os.Stat(filepath.Join(folder, named)); err == nil && info.Mode().IsRegular() {
					todo = append(todo, named)
				}
			}
		}
		f := File{Path: path, Key: keyOf(path), Content: content}
		if other, taken := keys[f.Key]; taken {
			return node, fmt.Errorf("%s and %s would have one name in a Secret", other, path)
		}
		keys[f.Key] = path
		node.Files = append(node.Files, f)
	}
	slices.SortFunc(node.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return node, nil
}

// allowed refuses what no container may have: a key of an authority, or of a person.
func allowed(path string) error {
	top, _, _ := strings.Cut(path, "/")
	if top == "ca" && strings.HasSuffix(path, ".key") || top == "people" && !strings.HasPrefix(path, "people/gateway/") || path == "orderer/admin/client.key" {
		return errors.New("that stays with the organisation's people")
	}
	return nil
}

// expand lists the files that are named, below folders too.
func expand(folder string, paths []string) ([]string, error) {
	var files []string
	for _, p := range paths {
		found, err := filepath.Glob(filepath.Join(folder, p))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s is not there", p)
		}
		for _, f := range found {
			err := filepath.WalkDir(f, func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				below, err := filepath.Rel(folder, path)
				files = append(files, filepath.ToSlash(below))
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

func readFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", file)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s has %d bytes; a container is given at most %d", file, info.Size(), maxFile)
	}
	raw, err := os.ReadFile(file)
	if err == nil && bytes.Contains(raw, []byte("ENCRYPTED PRIVATE KEY")) {
		return nil, fmt.Errorf("%s has a passphrase, and a node has nobody to ask for it", file)
	}
	return raw, err
}

// rewrite replaces the folder's paths by a container's, and says which paths of the folder there were.
func rewrite(text []byte, folder, node string) (out []byte, named []string) {
	// A path begins where a value does, and ends where no path goes on.
	path := regexp.MustCompile(`(^|[\s"'\[{,:])` + regexp.QuoteMeta(folder) + `/([^\s"'\]},]*)`)
	seen := map[string]bool{}
	out = path.ReplaceAllFunc(text, func(match []byte) []byte {
		parts := path.FindSubmatch(match)
		below := string(parts[2])
		if !seen[below] {
			seen[below] = true
			named = append(named, below)
		}
		to := home + "/" + below
		if rest, ok := strings.CutPrefix(below, node+"/data"); ok && (rest == "" || rest[0] == '/') {
			to = data + rest
		} else if below == "builder" {
			to = builder
		}
		return append(slices.Clone(parts[1]), to...)
	})
	return out, named
}

// keyOf makes a path the name of a Secret's entry, which has no slash.
func keyOf(path string) string { return strings.NewReplacer("_", "__", "/", "_").Replace(path) }

// Checksum names the content of a node's files: where it changes, the node has to start anew.
func (n Node) Checksum() string {
	h := sha256.New()
	for _, f := range n.Files {
		sum := sha256.Sum256(f.Content)
		_, _ = fmt.Fprintf(h, "%s %x\n", f.Path, sum) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// Secrets returns the nodes' files as a list of Kubernetes Secrets, RELEASE-peer and so on, in JSON.
func Secrets(nodes []Node, release, namespace string) ([]byte, error) {
	list := map[string]any{"apiVersion": "v1", "kind": "List"}
	var items []any
	for _, n := range nodes {
		entries := map[string][]byte{}
		total := 0
		for _, f := range n.Files {
			entries[f.Key] = f.Content
			total += len(f.Content)
		}
		if total > 1<<20 {
			return nil, fmt.Errorf("the files of the %s have %d bytes, and a Secret holds 1048576", n.Name, total)
		}
		about := map[string]any{"name": release + "-" + n.Name, "labels": map[string]string{
			"app.kubernetes.io/name": "waybill", "app.kubernetes.io/instance": release, "app.kubernetes.io/component": n.Name,
		}}
		if namespace != "" {
			about["namespace"] = namespace
		}
		items = append(items, map[string]any{"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": about, "data": entries})
	}
	list["items"] = items
	out, err := json.MarshalIndent(list, "", "  ")
	return append(out, '\n'), err
}

// Values returns the values that a release of the chart needs to find the files; they hold no secret.
func Values(nodes []Node, spec org.Spec) ([]byte, error) {
	type file struct {
		Key  string `json:"key"`
		Path string `json:"path"`
	}
	values := map[string]any{
		"organization": map[string]string{"name": spec.Name, "mspid": spec.MSPID},
		"orderer":      map[string]any{"enabled": false},
	}
	for _, n := range nodes {
		node := map[string]any{"enabled": true, "checksum": n.Checksum()}
		var files []file
		for _, f := range n.Files {
			files = append(files, file{f.Key, f.Path})
		}
		node["files"] = files
		if n.Name == "chaincode" {
			node["packageID"] = spec.Contract.PackageID
		}
		values[n.Name] = node
	}
	out, err := json.MarshalIndent(values, "", "  ")
	return append(out, '\n'), err
}

// WriteFiles lays the nodes' files out below a folder, as containers without Kubernetes mount them:
// DIR/peer is the peer's /etc/waybill.
func WriteFiles(dir string, nodes []Node) error {
	for _, n := range nodes {
		for _, f := range n.Files {
			if err := disk.Write(filepath.Join(dir, n.Name, filepath.FromSlash(f.Path)), f.Content, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}
