namespace Mesh.ControlPlane.Rules.Documents;

/// <summary>A node of a parsed document, with the line it stands on. Immutable.</summary>
internal abstract record DocumentNode(int Line)
{
    /// <summary>What it is, for error texts.</summary>
    public abstract string Describe();
}

/// <summary>A mapping; keys are unique.</summary>
internal sealed record MappingNode(int Line, IReadOnlyList<MappingEntry> Entries) : DocumentNode(Line)
{
    /// <inheritdoc/>
    public override string Describe() => "a mapping";

    /// <summary>The value of a key, or null.</summary>
    public MappingEntry? Find(string key)
    {
        foreach (var entry in Entries)
        {
            if (entry.Key == key) return entry;
        }

        return null;
    }
}

/// <summary>A key with its value.</summary>
internal sealed record MappingEntry(string Key, int Line, DocumentNode Value);

/// <summary>A sequence.</summary>
internal sealed record SequenceNode(int Line, IReadOnlyList<DocumentNode> Items) : DocumentNode(Line)
{
    /// <inheritdoc/>
    public override string Describe() => "a list";
}

/// <summary>A scalar. <paramref name="Plain"/> ones may be numbers, booleans or null; quoted ones are strings.</summary>
internal sealed record ScalarNode(int Line, string Text, bool Plain) : DocumentNode(Line)
{
    /// <summary>True for nothing, <c>~</c> and <c>null</c>.</summary>
    public bool IsNull => Plain && Text is "" or "~" or "null" or "Null" or "NULL";

    /// <summary>True for <c>true</c> and <c>false</c>.</summary>
    public bool IsBoolean => Plain && Text is "true" or "false" or "True" or "False" or "TRUE" or "FALSE";

    /// <summary>True for what YAML reads as a number.</summary>
    public bool IsNumber => Plain && Text.Length > 0
        && double.TryParse(Text, System.Globalization.NumberStyles.Float, System.Globalization.CultureInfo.InvariantCulture, out _);

    /// <inheritdoc/>
    public override string Describe()
    {
        if (IsNull) return "empty";
        var shown = Text.Length <= 60 ? Text : Text[..57] + "...";
        return IsBoolean || IsNumber ? shown : $"\"{shown}\"";
    }
}
