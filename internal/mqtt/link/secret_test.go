package link

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretIsRedactedEverywhere(t *testing.T) {
	t.Parallel()
	const hidden = "hunter2"
	a := Address{Scheme: "wss", Host: "broker", Port: 443, Username: "u", Password: hidden, Query: hidden}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("address", "a", a, "p", a.Password)
	slog.New(slog.NewTextHandler(&log, nil)).Info("address", "a", a, "p", a.Password)
	inJSON, err1 := json.Marshal([]any{a.Password, a})
	inXML, err2 := xml.Marshal(a)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	texts := []string{log.String(), string(inJSON), string(inXML), a.Password.GoString(), fmt.Sprint(a, &a, []Secret{a.Password})}
	for _, verb := range []string{"v", "+v", "#v", "s", "q", "d", "x", "X", "T%[1]v", "10.3s"} {
		texts = append(texts, fmt.Sprintf("%"+verb, a), fmt.Sprintf("%"+verb, a.Password))
	}
	for _, text := range texts {
		if strings.Contains(text, hidden) || strings.Contains(text, fmt.Sprintf("%x", hidden)) {
			t.Errorf("shown in %q", text)
		}
	}
	if got := a.Password.String() + Secret("").String(); got != "***" {
		t.Errorf("set and unset print %q", got)
	}
}
