using System.Collections.Immutable;
using System.Globalization;

namespace Mesh.ControlPlane.Rules.Documents;

/// <summary>
/// Reads the fields of one mapping: checks types, reports what is wrong with line and path, and, when told all fields that may be there
/// (<see cref="Done"/>), reports the others with the name that was probably meant. One document, one thread.
/// </summary>
internal sealed class Fields
{
    private readonly MappingNode mapping;
    private readonly Findings findings;
    private readonly HashSet<string> known = new(StringComparer.Ordinal);

    private Fields(MappingNode mapping, string path, Findings findings)
    {
        this.mapping = mapping;
        this.findings = findings;
        Path = path;
    }

    /// <summary>Path of the mapping, empty for the document itself.</summary>
    public string Path { get; }

    /// <summary>Line the mapping begins on.</summary>
    public int Line => mapping.Line;

    /// <summary>True when nothing is written in it.</summary>
    public bool IsEmpty => mapping.Entries.Count == 0;

    /// <summary>The names of all fields, for mappings whose keys are data.</summary>
    public IEnumerable<string> Names => mapping.Entries.Select(entry => entry.Key);

    /// <summary>Where errors go.</summary>
    public Findings Findings => findings;

    /// <summary>The fields of a node, or null (and an error) when it is no mapping.</summary>
    public static Fields? Of(DocumentNode node, string path, Findings findings)
    {
        if (node is MappingNode mapping) return new Fields(mapping, path, findings);
        findings.Error(node.Line, path, $"must be a mapping, is {node.Describe()}");
        return null;
    }

    /// <summary>True when the field is there and not null.</summary>
    public bool Has(string name) => Value(name) is not null;

    /// <summary>Line of a field, or of the mapping when it is not there.</summary>
    public int LineOf(string name) => mapping.Find(name)?.Line ?? mapping.Line;

    /// <summary>Reports a field.</summary>
    public void Error(string name, string text) => findings.Error(LineOf(name), PathOf(name), text);

    /// <summary>Reports a field that has no effect.</summary>
    public void Warn(string name, string text) => findings.Warning(LineOf(name), PathOf(name), text);

    /// <summary>Says that a field must not be empty.</summary>
    public void Require(string name, string why)
    {
        if (!Has(name)) Error(name, "is missing: " + why);
    }

    /// <summary>A string; null when it is not there or wrong.</summary>
    public string? Text(string name)
    {
        switch (Value(name))
        {
            case null: return null;
            case ScalarNode { IsBoolean: false, IsNumber: false } scalar: return scalar.Text;
            case ScalarNode scalar:
                Error(name, $"must be a string, is {scalar.Text}: put it in quotes, \"{scalar.Text}\"");
                return null;
            case var other:
                Error(name, $"must be a string, is {other.Describe()}");
                return null;
        }
    }

    /// <summary>One of several words; null when it is not there or wrong.</summary>
    public string? Word(string name, params ReadOnlySpan<string> words)
    {
        if (Text(name) is not { } text) return null;
        foreach (var word in words)
        {
            if (word == text) return word;
        }

        Error(name, $"must be {Words(words)}, is \"{text}\"");
        return null;
    }

    /// <summary>A whole number within bounds; null when it is not there or wrong.</summary>
    public int? Integer(string name, int least, int most)
    {
        if (Value(name) is not { } value) return null;
        if (value is ScalarNode { Plain: true } scalar && long.TryParse(scalar.Text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number))
        {
            if (number >= least && number <= most) return (int)number;
            Error(name, $"must be {least} to {most}, is {number}");
        }
        else
        {
            var isQuoted = value is ScalarNode { Plain: false } text && int.TryParse(text.Text, NumberStyles.None, CultureInfo.InvariantCulture, out _);
            Error(name, $"must be a whole number, {least} to {most}, is {value.Describe()}{(isQuoted ? ": write it without quotes" : "")}");
        }

        return null;
    }

    /// <summary>A boolean; null when it is not there or wrong.</summary>
    public bool? Boolean(string name)
    {
        switch (Value(name))
        {
            case null: return null;
            case ScalarNode { IsBoolean: true } scalar: return bool.Parse(scalar.Text);
            case var other:
                Error(name, $"must be true or false, is {other.Describe()}");
                return null;
        }
    }

    /// <summary>A mapping; null when it is not there or wrong.</summary>
    public Fields? Object(string name) => Value(name) is { } value ? Of(value, PathOf(name), findings) : null;

    /// <summary>A mapping that has to be there; null and an error when it is not.</summary>
    public Fields? Required(string name, string why)
    {
        Require(name, why);
        return Object(name);
    }

    /// <summary>A list of mappings, each with its path; empty when it is not there or wrong.</summary>
    public List<Fields> Objects(string name, int most)
    {
        var objects = new List<Fields>();
        var items = Items(name, most);
        for (var i = 0; i < items.Count; i++)
        {
            if (Of(items[i], $"{PathOf(name)}[{i}]", findings) is { } fields) objects.Add(fields);
        }

        return objects;
    }

    /// <summary>A list of scalars as text, with their lines.</summary>
    public List<ScalarNode> Scalars(string name, int most)
    {
        var scalars = new List<ScalarNode>();
        var items = Items(name, most);
        for (var i = 0; i < items.Count; i++)
        {
            if (items[i] is ScalarNode { IsNull: false } scalar) scalars.Add(scalar);
            else findings.Error(items[i].Line, $"{PathOf(name)}[{i}]", $"must be a single value, is {items[i].Describe()}");
        }

        return scalars;
    }

    /// <summary>A mapping of strings to strings, such as labels; null when it is not there or wrong.</summary>
    public ImmutableSortedDictionary<string, string>? Map(string name)
    {
        if (Object(name) is not { } fields) return null;
        var map = ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        foreach (var entry in fields.mapping.Entries)
        {
            if (fields.Text(entry.Key) is { } text) map[entry.Key] = text;
        }

        return map.ToImmutable();
    }

    /// <summary>The raw value of a field; null when it is not there or null.</summary>
    public DocumentNode? Value(string name)
    {
        known.Add(name);
        return mapping.Find(name)?.Value is { } value && value is not ScalarNode { IsNull: true } ? value : null;
    }

    /// <summary>Refuses a field that the kind has and this version does not support.</summary>
    public void NotYet(string name, string what)
    {
        if (Value(name) is { } value && value is not SequenceNode { Items.Count: 0 }) Error(name, $"{what} not supported yet: remove the field");
    }

    /// <summary>Reports all fields that were not read and are not among <paramref name="ignored"/>, which the mesh has no use for.</summary>
    public void Done(params ReadOnlySpan<string> ignored)
    {
        foreach (var name in ignored) known.Add(name);
        foreach (var entry in mapping.Entries)
        {
            if (known.Contains(entry.Key)) continue;
            var meant = NearestName.Of(entry.Key, known);
            findings.Error(entry.Line, PathOf(entry.Key), meant is null ? $"there is no such field: {Offer()}" : $"there is no such field: did you mean \"{meant}\"?");
        }
    }

    /// <summary>Path of a field.</summary>
    public string PathOf(string name)
    {
        var step = name.Contains('.', StringComparison.Ordinal) ? $"[\"{name}\"]" : name;
        if (Path.Length == 0) return step;
        return step[0] == '[' ? Path + step : $"{Path}.{step}";
    }

    private IReadOnlyList<DocumentNode> Items(string name, int most)
    {
        switch (Value(name))
        {
            case null: return [];
            case SequenceNode sequence when sequence.Items.Count <= most: return sequence.Items;
            case SequenceNode sequence:
                Error(name, $"must have at most {most} items, has {sequence.Items.Count}");
                return sequence.Items;
            case var other:
                Error(name, $"must be a list, is {other.Describe()}");
                return [];
        }
    }

    private string Offer() => known.Count > 10 ? "remove it" : "the fields here are " + string.Join(", ", known.Order(StringComparer.Ordinal));

    private static string Words(ReadOnlySpan<string> words) =>
        words.Length == 1 ? words[0] : string.Join(", ", words[..^1].ToArray()) + " or " + words[^1];
}
