package deadletter

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// SigningKeys sign letters with HMAC-SHA256 that are stored where other clients can write. The first
// key signs, all keys verify. To rotate, insert the new key first, and keep the old one until
// no letter signed with it is left. Without keys nothing is signed. SigningKeys are safe for
// concurrent use and must not be changed while in use.
type SigningKeys [][]byte

// MinSigningKey is the minimum length of a signing key in bytes.
const MinSigningKey = 32

var (
	// ErrUnsigned is returned by Verify for a letter without a signature.
	ErrUnsigned = errors.New("deadletter: the letter is not signed")
	// ErrSignature is returned by Verify for a letter whose signature was not made with one of
	// the keys, or was made for another letter.
	ErrSignature = errors.New("deadletter: the signature of the letter is not of one of the keys")
)

// Check returns an error for each key that is too short, joined.
func (k SigningKeys) Check() error {
	var errs []error
	for i, key := range k {
		if len(key) < MinSigningKey {
			errs = append(errs, fmt.Errorf("key %d has %d bytes, want at least %d", i+1, len(key), MinSigningKey))
		}
	}
	return errors.Join(errs...)
}

// Encode is like the function [Encode] but, if there are keys, adds a signature of everything
// that [Decode] reads, as the user property "dead-letter-mac" or the attribute mac.
func (k SigningKeys) Encode(l *Letter, properties bool) (*message.Message, error) {
	if l == nil || l.ID == "" {
		return nil, errNoID
	}
	plain := *l
	plain.MAC = ""
	m, err := Encode(&plain, properties)
	if err != nil || len(k) == 0 {
		return m, err
	}
	// Sign what a reader decodes, because a format may not preserve every text unchanged.
	found, err := Decode(m)
	if err != nil {
		return nil, err
	}
	plain.MAC = base64.RawURLEncoding.EncodeToString(sum(k[0], found))
	return Encode(&plain, properties)
}

// Verify returns nil if a decoded letter was signed with one of the keys, else [ErrUnsigned]
// or [ErrSignature]. It compares in constant time.
func (k SigningKeys) Verify(l *Letter) error {
	if l.MAC == "" {
		return ErrUnsigned
	}
	mac, err := base64.RawURLEncoding.Strict().DecodeString(l.MAC)
	if err != nil {
		return ErrSignature
	}
	for _, key := range k {
		if hmac.Equal(mac, sum(key, l)) {
			return nil
		}
	}
	return ErrSignature
}

// domain separates signatures of letters from anything else that is signed with the same key.
const domain = "kratos-mqtt dead letter, version 1"

// sum returns the signature of a letter. Each part is preceded by its length, and each list by
// its number of entries, so that different letters are never encoded to the same bytes.
func sum(key []byte, l *Letter) []byte {
	h := hmac.New(sha256.New, key)
	part(h, domain)
	metadata := slices.DeleteFunc(l.metadata(), func(kv [2]string) bool { return kv[0] == macName })
	count(h, len(metadata))
	for _, kv := range metadata {
		part(h, kv[0])
		part(h, kv[1])
	}
	part(h, l.ContentType)
	part(h, l.ResponseTopic)
	part(h, l.CorrelationData)
	part(h, l.Payload)
	count(h, len(l.Headers))
	for _, header := range l.Headers {
		part(h, header.Key)
		part(h, header.Value)
	}
	return h.Sum(nil)
}

func part[T string | []byte](h hash.Hash, text T) {
	count(h, len(text))
	_, _ = h.Write([]byte(text)) // never fails
}

func count(h hash.Hash, n int) {
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
}
