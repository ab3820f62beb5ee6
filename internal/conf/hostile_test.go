package conf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/kratos-mqtt/kratos-mqtt/configfile"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/badinput"
)

func TestBadFiles(t *testing.T) {
	rows, err := badinput.Configurations()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, row := range rows {
		if row.Kind != "file" {
			continue
		}
		n++
		t.Run(row.Rule+"/"+row.Case, func(t *testing.T) {
			_, err := Load(write(t, row.Text))
			if err == nil {
				t.Fatalf("accepted, want %q", row.Want)
			}
			for _, part := range row.Want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v\ndoes not say %q", err, part)
				}
			}
			noSecret(t, err)
		})
	}
	if n < 50 {
		t.Errorf("only %d files", n)
	}
}

func noSecret(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	if strings.Contains(text, badinput.Secret) || strings.Contains(text, badinput.SecretNumber) || strings.Contains(text, "4.815162342e+09") {
		t.Errorf("a secret is in %s", text)
	}
	if strings.ContainsFunc(strings.ReplaceAll(text, "\n", " "), func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("not fit for a log: %q", text)
	}
}

// FuzzLoad loads arbitrary files. It must not panic, and no error may repeat a
// password or user information of the file.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"config.yaml", "collector.yaml", "saver.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "configs", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text) + "\n# ")
	}
	rows, err := badinput.Configurations()
	if err != nil {
		f.Fatal(err)
	}
	for _, row := range rows {
		if row.Kind == "file" {
			f.Add(row.Text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 64<<10 {
			return
		}
		planted := "mqtt: {connection: {addresses: ['mqtts://user:" + badinput.Secret + "@broker'], password: " + badinput.Secret + "}}\n"
		for _, file := range []string{text, planted + text, strings.ReplaceAll(text, "broker", "u:"+badinput.Secret+"@broker")} {
			b := new(Bootstrap)
			if err := configfile.Parse("config.yaml", []byte(file), b, os.LookupEnv, b.Validate); err != nil && strings.Contains(err.Error(), badinput.Secret) {
				t.Fatalf("%q: a secret is in %v", file, err)
			}
		}
	})
}
