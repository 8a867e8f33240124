using Envoy.Config.Route.V3;
using Envoy.Type.Matcher.V3;
using Mesh.Api.Rbac.Conditions;

namespace Mesh.Api.Rbac.Reading;

/// <summary>HeaderMatcher, pseudo-headers included, to conditions. Pure.</summary>
internal static class HeaderConditions
{
    /// <summary>Fields a proxy writes anew, so that what came and what goes on differ; and our own, which are no grounds for a decision.</summary>
    private static readonly HashSet<string> Unseen = new(StringComparer.OrdinalIgnoreCase)
    {
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
        "upgrade", "http2-settings", "content-length", "x-content-length", "expect",
    };

    /// <summary>The condition a matcher stands for, or null with a problem.</summary>
    public static Condition? Of(HeaderMatcher proto, StringTests tests, Place place)
    {
        var name = proto.Name;
        if (name.Length == 0)
        {
            place.At("name").Problem("is empty");
            return null;
        }

        if (name == ":method") return Pseudo(proto, place, tests.OfText, t => new MethodIs(t));
        if (name == ":authority" || name.Equals("host", StringComparison.OrdinalIgnoreCase)) return Pseudo(proto, place, tests.OfHost, t => new AuthorityIs(t));
        if (name == ":path") place.At("name").Problem("\":path\" has no canonical form: use url_path");
        else if (name[0] == ':') place.At("name").Unsupported($"\"{name}\"");
        else if (Unseen.Contains(name)) place.At("name").Problem($"\"{name}\" belongs to one connection: the application gets another one");
        else if (name.StartsWith("x-mesh-", StringComparison.OrdinalIgnoreCase)) place.At("name").Problem($"\"{name}\" is the mesh's own: rules hold for what callers prove");
        else return Field(proto, tests, place);
        return null;
    }

    private static HeaderIs? Field(HeaderMatcher proto, StringTests tests, Place place)
    {
        var test = Test(proto, place, tests.OfField, out var presence, out var wrong);
        if (wrong) return null;
        return new HeaderIs(proto.Name, test, presence == false ? !proto.InvertMatch : proto.InvertMatch, proto.TreatMissingHeaderAsEmpty);
    }

    private static Condition? Pseudo(HeaderMatcher proto, Place place, Func<StringMatcher?, Place, StringTest?> read, Func<StringTest, Condition> make)
    {
        var test = Test(proto, place, read, out var presence, out var wrong);
        if (wrong) return null;
        var condition = test is null ? new Always(Truths.Of(presence == true)) : make(test);
        return proto.InvertMatch ? new NotThat(condition) : condition;
    }

    /// <summary>The test of the value; without one, <paramref name="presence"/> says what is asked of the field.</summary>
    private static StringTest? Test(HeaderMatcher proto, Place place, Func<StringMatcher?, Place, StringTest?> read, out bool? presence, out bool wrong)
    {
        presence = null;
        wrong = false;
        StringTest? test;
        switch (proto.HeaderMatchSpecifierCase)
        {
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.ExactMatch: test = read(new StringMatcher { Exact = proto.ExactMatch }, place); break;
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.PrefixMatch: test = read(new StringMatcher { Prefix = proto.PrefixMatch }, place); break;
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.SuffixMatch: test = read(new StringMatcher { Suffix = proto.SuffixMatch }, place); break;
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.ContainsMatch: test = read(new StringMatcher { Contains = proto.ContainsMatch }, place); break;
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.StringMatch: test = read(proto.StringMatch, place.At("string_match")); break;
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.SafeRegexMatch: test = read(new StringMatcher { SafeRegex = proto.SafeRegexMatch }, place); break;
            case HeaderMatcher.HeaderMatchSpecifierOneofCase.RangeMatch:
                place.At("range_match").Unsupported("match the text of the field");
                test = null;
                break;
            default:
                presence = proto.HeaderMatchSpecifierCase != HeaderMatcher.HeaderMatchSpecifierOneofCase.PresentMatch || proto.PresentMatch;
                return null;
        }

        wrong = test is null;
        return test;
    }
}
