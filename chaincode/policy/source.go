package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// ParseText reads a policy as people write it: JSON, or YAML of which every reader
// makes the same. The text is kept on the ledger and shown again, so it must be
// what it looks like: UTF-8 of at most MaxBytes, line ends are LF, and no character is
// invisible or changes how others are shown. Of YAML one document is read, without merge
// keys and tags; a plain scalar that readers take for different things (yes, 010,
// 1e3, 2026-03-02) is Invalid: it is quoted, or written otherwise. Comments decide
// nothing.
func ParseText(text []byte) (Policy, error) {
	if len(text) > MaxBytes {
		return Policy{}, provenance.Errorf(provenance.Invalid, "policy of %d bytes: at most %d", len(text), MaxBytes)
	}
	if json.Valid(text) {
		if err := checkCharacters(text, true); err != nil {
			return Policy{}, err
		}
		return Parse(text)
	}
	if err := checkCharacters(text, false); err != nil {
		return Policy{}, err
	}
	document, err := yamlToJSON(text)
	if err != nil {
		return Policy{}, err
	}
	return Parse(document)
}

// checkCharacters refuses what is not shown as it is read. A carriage return ends
// a line of YAML and of no terminal; tabs stand in JSON for any width.
func checkCharacters(text []byte, tabs bool) error {
	if !utf8.Valid(text) {
		return provenance.Errorf(provenance.Invalid, "policy: not UTF-8")
	}
	line := 1
	for _, c := range string(text) {
		switch {
		case c == '\n':
			line++
		case c == '\t' && tabs:
		case c == '\r':
			return provenance.Errorf(provenance.Invalid, "policy: line %d: a carriage return; lines end with LF alone", line)
		case c == '\t':
			return provenance.Errorf(provenance.Invalid, "policy: line %d: a tab; indent with spaces", line)
		case invisible(c):
			return provenance.Errorf(provenance.Invalid, "policy: line %d: the invisible character U+%04X", line, c)
		}
	}
	return nil
}

// yamlToJSON writes the one document of a YAML text as JSON, members in their
// order and doubled ones twice: Parse refuses what JSON is refused for.
func yamlToJSON(text []byte) ([]byte, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	if err := dec.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, provenance.Errorf(provenance.Invalid, "policy: the text is empty")
		}
		return nil, provenance.Errorf(provenance.Invalid, "policy: %s", clip(err.Error(), 200))
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, provenance.Errorf(provenance.Invalid, "policy: more than one document")
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, provenance.Errorf(provenance.Invalid, "policy: want a mapping")
	}
	var out bytes.Buffer
	if err := writeNode(&out, document.Content[0], 0); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func writeNode(out *bytes.Buffer, n *yaml.Node, depth int) error {
	refuse := func(format string, args ...any) error {
		return provenance.Errorf(provenance.Invalid, "policy: line %d: "+format, append([]any{n.Line}, args...)...)
	}
	switch {
	case depth > maxDepth:
		return refuse("nested deeper than %d", maxDepth)
	case out.Len() > MaxBytes: // aliases may say little and mean much
		return refuse("with what its aliases stand for, more than %d bytes", MaxBytes)
	case n.Kind == yaml.AliasNode:
		return writeNode(out, n.Alias, depth+1)
	case n.Style&yaml.TaggedStyle != 0:
		return refuse("the tag %q: want none", clip(n.Tag, 40))
	}
	switch n.Kind {
	case yaml.MappingNode:
		out.WriteByte('{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode || key.Tag != "!!str" || key.Style&yaml.TaggedStyle != 0 {
				return refuse("a field is named by no text")
			}
			if i > 0 {
				out.WriteByte(',')
			}
			if err := writeText(out, key.Value); err != nil {
				return err
			}
			out.WriteByte(':')
			if err := writeNode(out, n.Content[i+1], depth+1); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	case yaml.SequenceNode:
		out.WriteByte('[')
		for i, element := range n.Content {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := writeNode(out, element, depth+1); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case yaml.ScalarNode:
		if n.Style == 0 && !plainScalar(n.Tag, n.Value) {
			return refuse("%q is not the same to every reader of YAML: put it in quotes, or write it otherwise", clip(n.Value, 40))
		}
		if n.Tag == "!!str" {
			return writeText(out, n.Value)
		}
		if n.Tag == "!!null" {
			out.WriteString("null")
			return nil
		}
		out.WriteString(n.Value)
	default:
		return refuse("this is no policy")
	}
	return nil
}

var decimal = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,15})$`)

// plainScalar tells whether a scalar without quotes is what its tag says in every
// version of YAML.
func plainScalar(tag, value string) bool {
	switch tag {
	case "!!str":
		return !slices.Contains([]string{"y", "n", "yes", "no", "on", "off"}, strings.ToLower(value))
	case "!!int":
		return decimal.MatchString(value)
	case "!!bool":
		return value == "true" || value == "false"
	case "!!null":
		return value == "null" || value == ""
	default:
		return false
	}
}

func writeText(out *bytes.Buffer, s string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "policy")
	}
	out.Write(b)
	return nil
}
