using System.Globalization;
using System.Text;

namespace Mesh.Benchmarks;

/// <summary>Authorization rules as many as one likes, of which the last allows the bench's request.</summary>
/// <param name="Name">As the metric names it.</param>
/// <param name="Count">How many there are.</param>
/// <param name="ByHeader">Told apart by a header instead of the path: nothing an index could help with.</param>
internal sealed record RbacRules(string Name, int Count, bool ByHeader = false)
{
    public static IReadOnlyList<RbacRules> All { get; } =
        [new("0_rules", 0), new("10_rules", 10), new("1000_rules", 1000), new("1000_rules_by_header", 1000, ByHeader: true)];

    /// <summary>The RBAC filter, with a comma behind it; nothing where there are no rules.</summary>
    public string Filter()
    {
        if (Count == 0) return "";
        var policies = new StringBuilder();
        for (var i = 0; i < Count; i++)
        {
            if (i > 0) policies.Append(",\n");
            policies.Append(CultureInfo.InvariantCulture, $$"""
                "ns[default]-policy[bench]-rule[{{i:D4}}]": { "principals": [ { "any": true } ], "permissions": [ { "and_rules": { "rules": [ {{What(i)}},
                  { "header": { "name": ":method", "string_match": { "exact": "GET" } } } ] } } ] }
                """);
        }

        return $$"""
            { "name": "rbac", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
              "rules": { "action": "ALLOW", "policies": { {{policies}} } } } },
            """;
    }

    private string What(int number)
    {
        var last = number == Count - 1;
        return ByHeader
            ? $$"""{ "header": { "name": "host", "string_match": { "prefix": "{{(last ? "127.0.0.1" : $"host-{number}.")}}" } } }"""
            : $$"""{ "url_path": { "path": { "prefix": "{{(last ? "/" : $"/items/{number}/")}}" } } }""";
    }
}
