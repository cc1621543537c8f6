package act

import "testing"

// The reports are as lvmreport(7) and lvs(8) document them.
func TestParseLVMReports(t *testing.T) {
	const lvs = `{"report":[{"lv":[
	{"lv_name":"krb5lv","lv_path":"/dev/dcevg/krb5lv","lv_active":"active","lv_device_open":"open","lv_role":"public"},
	{"lv_name":"[varlv_rimage_0]","lv_path":"","lv_active":"","lv_device_open":"","lv_role":"private,raid,image"},
	{"lv_name":"etclv","lv_path":"/dev/dcevg/etclv","lv_active":"","lv_device_open":"","lv_role":"public"}]}],"log":[]}`
	got, err := parseLVs([]byte(lvs))
	if err != nil || len(got) != 3 {
		t.Fatal(got, err)
	}
	if !got[0].active() || got[0].private() || got[1].active() || !got[1].private() || got[2].active() {
		t.Errorf("%+v", got)
	}
	if got, err := parseLVs([]byte(`{"report":[{"lv":[]}]}`)); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
	for _, bad := range []string{"", "{}", `{"report":[]}`, `{"report":[{"lv":[{"lv_path":"/dev/x"}]}]}`, "  WARNING: no report"} {
		if _, err := parseLVs([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	for _, tc := range []struct {
		report string
		usable bool
	}{
		{`{"report":[{"vg":[{"vg_name":"dcevg","vg_missing_pv_count":"0","vg_exported":""}]}]}`, true},
		{`{"report":[{"vg":[{"vg_name":"dcevg","vg_missing_pv_count":"1","vg_exported":""}]}]}`, false},
		{`{"report":[{"vg":[{"vg_name":"dcevg","vg_missing_pv_count":"","vg_exported":""}]}]}`, false},
		{`{"report":[{"vg":[{"vg_name":"dcevg","vg_missing_pv_count":"0","vg_exported":"exported"}]}]}`, false},
	} {
		vg, err := parseVG([]byte(tc.report), "dcevg")
		if err != nil || (vg.usable() == nil) != tc.usable {
			t.Errorf("%s: %v %v", tc.report, err, vg.usable())
		}
	}
	if _, err := parseVG([]byte(`{"report":[{"vg":[]}]}`), "dcevg"); err == nil {
		t.Error("a missing volume group was found")
	}
}

func FuzzParseLVs(f *testing.F) {
	f.Add([]byte(`{"report":[{"lv":[{"lv_name":"a","lv_active":"active"}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = parseLVs(b)
		if vg, err := parseVG(b, "x"); err == nil {
			_ = vg.usable()
		}
	})
}
