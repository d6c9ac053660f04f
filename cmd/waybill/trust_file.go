package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/sigstore"
)

// rootOf reads the trusted root of a file. Where several stand one after the other, as
// "gh attestation trusted-root" prints them, number says which; 0 is the only one.
func (a *app) rootOf(file string, number int) (*sigstore.TrustedRoot, error) {
	text, err := a.readFile("trusted root", file, maxText)
	if err != nil {
		return nil, err
	}
	documents := documentsOf(text)
	switch {
	case number < 0 || number > len(documents):
		return nil, usagef("--number %d: %s has %d trusted roots", number, file, len(documents))
	case number == 0 && len(documents) > 1:
		return nil, usagef("%s has %d trusted roots; say with --number which one to take:%s", file, len(documents), listed(documents))
	}
	root, err := sigstore.ParseTrustedRoot(documents[max(number, 1)-1])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return root, nil
}

// documentsOf splits a text of several JSON documents; what is no such text is one.
func documentsOf(text []byte) (documents [][]byte) {
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var document json.RawMessage
		err := d.Decode(&document)
		if errors.Is(err, io.EOF) && len(documents) > 0 {
			return documents
		}
		if err != nil {
			return [][]byte{text}
		}
		documents = append(documents, document)
	}
}

// listed names the certificate authorities of several roots, one root a line.
func listed(documents [][]byte) string {
	var b strings.Builder
	for i, document := range documents {
		var names []string
		root, err := sigstore.ParseTrustedRoot(document)
		if err != nil {
			names = append(names, err.Error())
		} else {
			for _, a := range root.Anchors() {
				if a.Kind == sigstore.CertificateAuthority && !slices.Contains(names, a.Name) {
					names = append(names, a.Name)
				}
			}
		}
		fmt.Fprintf(&b, "\n%d: %s", i+1, sanitize(strings.Join(names, ", ")))
	}
	return b.String()
}
