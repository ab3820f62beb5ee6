package client

import (
	"crypto/sha256"
	"io"
	"os"
)

// stamp identifies the content of a file. Size and time would not: two files that are written
// one after the other may have the same.
type stamp struct {
	sum     [sha256.Size]byte
	missing bool
}

// maxStamped is the part of a file that is compared, far more than a file of certificates has.
const maxStamped = 4 << 20

// stampOf returns the stamp of a file; that of "" is zero.
func stampOf(path string) (s stamp) {
	if path != "" {
		var err error
		s.sum, err = sumOf(path)
		s.missing = err != nil
	}
	return s
}

func sumOf(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, maxStamped)); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
