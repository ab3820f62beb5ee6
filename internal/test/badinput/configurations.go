package badinput

import "strings"

// Secret is planted in configurations; no error may repeat it, nor the numbers that stand for
// a secret.
const (
	Secret       = "s3cr3t-0f-th3-t4bl3"
	SecretNumber = "4815162342"
)

// Configuration is one line of configurations.tsv.
type Configuration struct {
	// Kind is "settings", an object of the members connection, publisher and
	// subscriber of kratosmqtt.v1, or "file", a file of the reference service.
	Kind string
	// Rule is the rule under test.
	Rule string
	// Case is the special feature of the case.
	Case string
	// Text is JSON. {{dir}} stands for the folder with the TLS files of the test: cert.pem,
	// key.pem, other-key.pem, empty.pem and rubbish.pem.
	Text string
	// Want are parts of the error; all must occur.
	Want []string
}

// Configurations reads configurations.tsv.
func Configurations() ([]Configuration, error) {
	rows, err := table("configurations.tsv", 5, 3)
	if err != nil {
		return nil, err
	}
	list := make([]Configuration, len(rows))
	for i, row := range rows {
		list[i] = Configuration{row[0], row[1], row[2], filled(row[3]), strings.Split(row[4], "¶")}
	}
	return list, nil
}

// filled inserts the secret and expands {{text*N}}.
func filled(text string) string {
	text = strings.ReplaceAll(text, "{{secret}}", Secret)
	for {
		before, rest, ok := strings.Cut(text, "{{")
		if !ok {
			return text
		}
		what, after, _ := strings.Cut(rest, "}}")
		part, count, repeated := strings.Cut(what, "*")
		if !repeated {
			return before + "{{" + what + "}}" + filled(after)
		}
		n := 0
		for _, digit := range count {
			n = 10*n + int(digit-'0')
		}
		text = before + strings.Repeat(part, n) + after
	}
}
