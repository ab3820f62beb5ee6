package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var files embed.FS

// asset is a file of the page.
type asset struct {
	plain, zipped []byte
	media, tag    string
}

// assets are the files of the page by name.
type assets map[string]*asset

// loadAssets returns the files of the page.
func loadAssets() assets {
	all := make(assets)
	_ = fs.WalkDir(files, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		all[strings.TrimPrefix(name, "assets/")] = &asset{
			plain: content, zipped: zip(content), media: mediaOf(name), tag: `"` + hex.EncodeToString(sum[:8]) + `"`,
		}
		return nil
	}) // there is no error: the files are in the program
	return all
}

func mediaOf(name string) string {
	switch path.Ext(name) {
	case ".js": // not what the machine's own table has
		return "text/javascript; charset=utf-8"
	case ".LICENSE":
		return "text/plain; charset=utf-8"
	}
	return mime.TypeByExtension(path.Ext(name))
}

// zip returns content compressed as much as gzip can.
func zip(content []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil
	}
	_, _ = w.Write(content) // to memory
	_ = w.Close()
	return b.Bytes()
}

func (all assets) serve(w http.ResponseWriter, r *http.Request, name string) {
	a := all[name]
	if a == nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.media)
	h.Set("Cache-Control", "no-cache") // the tag is compared
	h.Set("ETag", a.tag)
	h.Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == a.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	content := a.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && len(a.zipped) > 0 {
		h.Set("Content-Encoding", "gzip")
		content = a.zipped
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(content) // an error means that the browser has gone
	}
}
