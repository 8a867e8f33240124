using System.Text.RegularExpressions;

namespace Mesh.Architecture.Tests;

/// <summary>Holds the dependency table of ARCHITECTURE.md against the sources.</summary>
public partial class DependencyTests
{
    public static TheoryData<string, string> Rooms()
    {
        var rooms = new TheoryData<string, string>();
        foreach (var (program, _, _) in Programs)
        {
            foreach (var room in Directory.EnumerateDirectories(Path.Combine(Repository.Root, program)).Select(Path.GetFileName))
            {
                if (Repository.Sources(Path.Combine(program, room!)).Any()) rooms.Add(program, room!);
            }
        }

        return rooms;
    }

    private static readonly (string Folder, string Namespace, IReadOnlyDictionary<string, string[]> Table)[] Programs =
    [
        ("sidecar", "Mesh.Sidecar", DependencyTable.Sidecar),
        ("control-plane", "Mesh.ControlPlane", DependencyTable.ControlPlane),
    ];

    [Theory]
    [MemberData(nameof(Rooms))]
    public void A_room_names_only_the_rooms_it_may_know(string program, string room)
    {
        var (folder, root, table) = Programs.Single(p => p.Folder == program);
        Assert.True(table.ContainsKey(room), $"{folder}/{room} is not in the dependency table: add a row to DependencyTable.cs and ARCHITECTURE.md");
        var allowed = table[room].Append(room).ToHashSet(StringComparer.Ordinal);
        var forbidden = new List<string>();
        foreach (var file in Repository.Sources(Path.Combine(folder, room)))
        {
            var named = NamesOf(File.ReadAllText(file), root).Where(n => table.ContainsKey(n) && !allowed.Contains(n));
            forbidden.AddRange(named.Distinct().Select(n => $"{Path.GetRelativePath(Repository.Root, file)} names {root}.{n}"));
        }

        Assert.True(forbidden.Count == 0, string.Join('\n', forbidden));
    }

    [Theory]
    [InlineData("api", new[] { "Mesh.Sidecar", "Mesh.ControlPlane", "Mesh.Cli" })]
    [InlineData("sidecar", new[] { "Mesh.ControlPlane", "Mesh.Cli" })]
    [InlineData("control-plane", new[] { "Mesh.Sidecar", "Mesh.Cli" })]
    [InlineData("cli", new[] { "Mesh.Sidecar", "Mesh.ControlPlane" })]
    public void Programs_meet_only_in_api(string folder, string[] foreign)
    {
        var sources = Repository.Sources(folder).ToList();
        Assert.NotEmpty(sources);
        var found =
            from file in sources
            let text = File.ReadAllText(file)
            from name in foreign
            where Regex.IsMatch(text, $@"^\s*using\s+(static\s+)?{Regex.Escape(name)}\b", RegexOptions.Multiline, TimeSpan.FromSeconds(1))
            select $"{Path.GetRelativePath(Repository.Root, file)} uses {name}";
        Assert.Empty(found);
    }

    [Fact]
    public void The_table_has_no_cycles()
    {
        foreach (var (_, root, table) in Programs)
        {
            foreach (var room in table.Keys)
            {
                Assert.False(Reaches(table, table[room], room), $"{root}.{room} can reach itself");
            }
        }
    }

    private static bool Reaches(IReadOnlyDictionary<string, string[]> table, string[] from, string target) =>
        from.Any(r => r == target || Reaches(table, table[r], target));

    private static IEnumerable<string> NamesOf(string text, string root) =>
        QualifiedName().Matches(text).Select(m => m.Value).Where(v => v.StartsWith(root + ".", StringComparison.Ordinal))
            .Select(v => v[(root.Length + 1)..].Split('.')[0]);

    [GeneratedRegex(@"\bMesh\.(Sidecar|ControlPlane)(\.[A-Za-z]+)+", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex QualifiedName();
}
