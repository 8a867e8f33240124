namespace Mesh.Sidecar.Config.Builders;

/// <summary>
/// Everything wrong with one set of resources, in the order it was found. Counts all errors, keeps the texts of the first hundred.
/// One thread; lives as long as one build.
/// </summary>
internal sealed class ConfigErrors
{
    private const int Kept = 100;
    private readonly List<string> texts = [];

    /// <summary>True when the resources come from an operator's file, not from a control plane.</summary>
    public bool OfFile { get; init; }

    /// <summary>How many errors there are.</summary>
    public int Count { get; private set; }

    /// <summary>The first errors, each naming resource, field and what is wrong.</summary>
    public IReadOnlyList<string> Texts => texts;

    /// <summary>Adds an error.</summary>
    public void Add(string text)
    {
        if (++Count <= Kept) texts.Add(text);
    }

    /// <summary>All of it as one text of bounded length, for a NACK.</summary>
    public override string ToString()
    {
        const int most = 4000;
        var text = string.Join("; ", texts);
        if (text.Length > most) text = text[..most] + "...";
        return Count > texts.Count ? $"{text}; and {Count - texts.Count} more" : text;
    }
}
