package org

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// FirstVersion is the version of the chaincode that a channel is founded with.
const FirstVersion = "1"

// Package returns the package that every organisation installs, and its id. The bytes
// depend on name and version only: no clock, no owner, no path. Organisations that each build
// it therefore approve the same id, and the id need not be passed around.
func Package(name, version string) (pkg []byte, id string, err error) {
	label := name + "_" + version
	// The peer insists on a file; the real connection.json is the builder's to write.
	code, err := archive(packed{"connection.json", []byte("{}\n")})
	if err != nil {
		return nil, "", err
	}
	metadata := fmt.Sprintf(`{"type":"ccaas","label":%q,"path":""}`, label)
	pkg, err = archive(packed{"metadata.json", []byte(metadata)}, packed{"code.tar.gz", code})
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(pkg)
	return pkg, label + ":" + hex.EncodeToString(sum[:]), nil
}

// packed is one file in an archive.
type packed struct {
	name string
	data []byte
}

// archive packs files into a gzipped tar.
func archive(files ...packed) ([]byte, error) {
	var out bytes.Buffer
	// Stored, not compressed: compressors differ between Go versions, and with them the id would.
	zip, err := gzip.NewWriterLevel(&out, gzip.NoCompression)
	if err != nil {
		return nil, err
	}
	t := tar.NewWriter(zip)
	for _, f := range files {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.data)), Mode: 0o644,
			ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
		}
		if err := t.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
		if _, err := t.Write(f.data); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
	}
	if err := t.Close(); err != nil {
		return nil, fmt.Errorf("close package: %w", err)
	}
	if err := zip.Close(); err != nil {
		return nil, fmt.Errorf("compress package: %w", err)
	}
	return out.Bytes(), nil
}
