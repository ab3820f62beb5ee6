package conf

import (
	"errors"
	"regexp"
	"strings"

	"github.com/go-kratos/kratos/v2/config"
	"github.com/go-kratos/kratos/v2/config/env"
	"github.com/go-kratos/kratos/v2/encoding"
)

// What is repeated of a parser's error: names of members, places, kinds of
// problems. The rest of its text quotes the file, and with it a password that is
// a number, or the user information of an address.
var (
	ofYAML = regexp.MustCompile(`line \d+|did not find expected [\w ]*|mapping values are not allowed|` +
		`found character that cannot start any token|unknown anchor|cannot unmarshal|already defined|invalid base64`)
	ofMembers = regexp.MustCompile(`unknown field "\w+"|duplicate field "\w+"|invalid value for [\w.]+ (?:field )?\w+|` +
		`invalid [\w.]+ value(?: "?[0-9a-z.]{1,10}"?)?|out of range|unexpected token`)
)

// redact turns the error of a parser into one that repeats nothing of what was
// parsed but what matches.
func redact(err error, repeated *regexp.Regexp) error {
	found := repeated.FindAllString(err.Error(), 4)
	if len(found) == 0 {
		return errors.New("it cannot be read")
	}
	return errors.New(strings.Join(found, ", "))
}

// checkedFile is a source that refuses what cannot be decoded: Kratos would log
// the whole text of it.
type checkedFile struct{ config.Source }

// Load implements config.Source.
func (f checkedFile) Load() ([]*config.KeyValue, error) {
	kvs, err := f.Source.Load()
	for _, kv := range kvs {
		codec := encoding.GetCodec(kv.Format)
		if codec == nil {
			return nil, errors.New("no name of a YAML file")
		}
		if err := codec.Unmarshal(kv.Value, new(map[string]any)); err != nil {
			return nil, redact(err, ofYAML)
		}
	}
	return kvs, err
}

// Watch implements config.Source; the file is read once.
func (checkedFile) Watch() (config.Watcher, error) { return env.NewWatcher() }
